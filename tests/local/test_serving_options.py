"""The documented serving options on one machine: all of them are taken, also those that only a cluster acts on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from disrouter_local.node import kserve
from disrouter_local.store import deployments
from disrouter_local.store.folder import Folder
from disrouter_local.store.store import Store
from disrouter_operator.kube.resources import CASCADES, DEPLOYMENTS, INFERENCE_SERVICES, Key
from disrouter_operator.reconcile.reconciler import reconcile
from disrouter_operator.settings import Settings
from support import options
from support.clusters import condition_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OVERLAYS = options.overlays()


@pytest.mark.parametrize("name", OVERLAYS)
async def test_an_option_is_stored_and_settles(name: str, tmp_path: Path) -> None:
    store = Store(Folder(tmp_path), clock=lambda: NOW)
    await store.apply(options.changed(OVERLAYS[name]))
    for _ in range(4):
        await reconcile(store, Key("default", "qwen"), Settings(), lambda: NOW)
        await kserve.sync(store, lambda service, _: f"http://{service}", NOW)
        await deployments.sync(store, NOW)
    version = store.version
    await reconcile(store, Key("default", "qwen"), Settings(), lambda: NOW)
    assert store.version == version, "a reconcile at rest writes nothing"
    (cascade,) = await store.list(CASCADES, None)
    assert condition_of(cascade, "SpecValid")["status"] == "True"
    assert condition_of(cascade, "Degraded")["status"] == "False"
    services = await store.list(INFERENCE_SERVICES, None)
    made = {deployment["metadata"]["name"] for deployment in await store.list(DEPLOYMENTS, None)}
    assert {f"{service['metadata']['name']}-predictor" for service in services} <= made
