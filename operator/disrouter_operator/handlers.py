"""Kopf's watches as wake-ups: any event on a cascade or its children puts the cascade's key in the queue.

The only module that imports kopf. Only `on.event` is used: it writes no annotation and no finalizer on anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import kopf

from disrouter import names
from disrouter_operator.observe import CHILDREN
from disrouter_operator.reconcile import Key
from disrouter_operator.resources import CASCADES

Enqueue = Callable[[Key], None]


def registry(enqueue: Enqueue) -> kopf.OperatorRegistry:
    """A private registry: nothing global, so that several operators can live in one process."""
    handlers = kopf.OperatorRegistry()
    kopf.on.login(registry=handlers, errors=kopf.ErrorsMode.PERMANENT)(_login)

    async def wake_self(namespace: str | None, name: str | None, **_: Any) -> None:
        enqueue(Key(str(namespace), str(name)))

    async def wake_parent(namespace: str | None, labels: Any, **_: Any) -> None:
        enqueue(Key(str(namespace), str(labels[names.LABEL_CASCADE])))

    kopf.on.event(CASCADES.group, CASCADES.version, CASCADES.plural, registry=handlers)(wake_self)
    for kind in CHILDREN:
        mark = {names.LABEL_CASCADE: kopf.PRESENT}
        kopf.on.event(kind.group, kind.version, kind.plural, registry=handlers, labels=mark)(wake_parent)
    return handlers


def settings() -> kopf.OperatorSettings:
    """Kopf posts no Events of its own and takes part in no peering: leadership is a Lease (`leader.py`)."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    chosen.peering.standalone = True
    # Saves the right to watch every CRD and namespace; a kind that is installed later is met by the resync.
    chosen.scanning.disabled = True
    return chosen


async def watch(enqueue: Enqueue, namespaces: Sequence[str], stop: asyncio.Event) -> None:
    """Watch until `stop`; no namespaces means all of them."""
    await kopf.operator(
        registry=registry(enqueue),
        settings=settings(),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=list(namespaces),
        stop_flag=stop,
    )


async def _login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """The pod's service account in a cluster, else the kubeconfig (a token or a certificate, no plugin)."""
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)
