"""The on-disk store behaves like an API server where somebody relies on it."""

from __future__ import annotations

import json
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from disrouter_local.store import merge
from disrouter_local.store.folder import Folder
from disrouter_local.store.store import Store
from disrouter_operator.errors import Conflict, Rejected
from disrouter_operator.kube.resources import CONFIG_MAPS, DEPLOYMENTS, PODS, SECRETS, Object


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Folder(tmp_path))


def deployment(**spec: Any) -> Object:
    metadata = {"name": "web", "namespace": "default", "labels": {"app": "web"}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"replicas": 1, **spec}}


def config_map(name: str = "c", **more: Any) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "v"}, **more}


def pod(name: str = "p") -> Object:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {}}


async def test_apply_creates_with_identity(store: Store) -> None:
    live = await store.apply(deployment())
    assert live["metadata"]["generation"] == 1
    assert live["metadata"]["uid"]
    assert await store.get(DEPLOYMENTS, "default", "web") == live
    assert await store.get(DEPLOYMENTS, "other", "web") is None


async def test_applying_the_same_again_writes_nothing(store: Store) -> None:
    first = await store.apply(deployment())
    version = store.version
    assert await store.apply(deployment()) == first
    assert store.version == version


async def test_generation_follows_the_spec_and_not_labels_or_status(store: Store) -> None:
    live = await store.apply(deployment())
    live = await store.patch_status({**live, "status": {"readyReplicas": 1}})
    assert live["metadata"]["generation"] == 1
    relabelled = deployment()
    relabelled["metadata"]["labels"]["tier"] = "a"
    assert (await store.apply(relabelled))["metadata"]["generation"] == 1
    changed = await store.apply(deployment(replicas=2))
    assert changed["metadata"]["generation"] == 2
    assert changed["status"] == {"readyReplicas": 1}


async def test_a_field_that_leaves_the_manifest_leaves_the_object_and_others_stay(store: Store) -> None:
    await store.apply(deployment(paused=True))
    record = Folder(store._folder.root).read(DEPLOYMENTS, "default", "web")
    assert record is not None
    record.object["spec"]["defaulted"] = 7
    store._folder.write(record)
    live = await store.apply(deployment())
    assert live["spec"] == {"replicas": 1, "defaulted": 7}


async def test_a_stale_version_is_a_conflict(store: Store) -> None:
    stale = await store.apply(deployment())
    await store.apply(deployment(replicas=2))
    with pytest.raises(Conflict, match="read it again"):
        await store.patch_status({**stale, "status": {}})
    with pytest.raises(Conflict, match="changed"):
        await store.apply(stale)


async def test_create_refuses_a_taken_name_and_makes_names_up(store: Store) -> None:
    await store.create(config_map())
    with pytest.raises(Conflict, match="exists already"):
        await store.create(config_map())
    made = [await store.create({**pod(), "metadata": {"generateName": "p-"}}) for _ in range(2)]
    assert len({item["metadata"]["name"] for item in made}) == 2


async def test_an_immutable_config_map_stays(store: Store) -> None:
    await store.apply(config_map(immutable=True))
    with pytest.raises(Rejected, match="immutable"):
        await store.apply(config_map(immutable=True, data={"k": "w"}))


async def test_a_deleted_pod_lingers_until_its_node_removes_it(store: Store) -> None:
    live = await store.create(pod())
    await store.delete(PODS, "default", "p", uid="another")
    assert await store.get(PODS, "default", "p") == live
    await store.delete(PODS, "default", "p")
    lingering = await store.get(PODS, "default", "p")
    assert lingering is not None
    assert "deletionTimestamp" in lingering["metadata"]
    await store.remove_pod(lingering)
    assert await store.get(PODS, "default", "p") is None


async def test_list_selects_by_namespace_and_labels(store: Store) -> None:
    for namespace in ("a", "b"):
        for index in range(2):
            metadata = {"name": f"c{index}", "namespace": namespace, "labels": {"index": str(index)}}
            await store.create({**config_map(), "metadata": metadata})
    assert len(await store.list(CONFIG_MAPS, None)) == 4
    assert [item["metadata"]["namespace"] for item in await store.list(CONFIG_MAPS, None, {"index": "1"})] == ["a", "b"]
    assert len(await store.list(CONFIG_MAPS, "a", {"index": "1"})) == 1


@pytest.mark.parametrize("name", ["../escape", "Upper", "a/b", ""])
async def test_names_that_are_no_file_names_are_rejected(store: Store, name: str) -> None:
    with pytest.raises(Rejected):
        await store.apply({**config_map(), "metadata": {"name": name or "..", "namespace": "default"}})


async def test_an_unknown_kind_is_rejected(store: Store) -> None:
    with pytest.raises(Rejected, match="not a kind"):
        await store.apply({"apiVersion": "v1", "kind": "Banana", "metadata": {"name": "b"}})


async def test_the_folder_is_made_by_the_first_write_and_private(tmp_path: Path) -> None:
    store = Store(Folder(tmp_path / "objects"))
    assert await store.list(SECRETS, None) == []
    assert not (tmp_path / "objects").exists()
    await store.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}})
    assert (tmp_path / "objects").stat().st_mode & 0o077 == 0


WRITER = """
import asyncio, sys
from pathlib import Path
from disrouter_local.store.folder import Folder
from disrouter_local.store.store import Store

async def write(store, prefix):
    for index in range(10):
        await store.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"{prefix}{index}"}})

asyncio.run(write(Store(Folder(Path(sys.argv[1]))), sys.argv[2]))
"""


def test_writers_in_several_processes_lose_nothing(tmp_path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), prefix]) for prefix in "abc"]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    folder = Folder(tmp_path)
    versions = [int(item.object["metadata"]["resourceVersion"]) for item in folder.read_all(CONFIG_MAPS, None)]
    assert len(versions) == len(set(versions)) == 30
    assert folder.version == 30


_LEAVES = st.one_of(st.integers(0, 3), st.lists(st.integers(0, 3), max_size=2))
_TREES = st.recursive(
    st.dictionaries(st.sampled_from("abcd"), _LEAVES, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), st.one_of(_LEAVES, inner), max_size=3),
    max_leaves=6,
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(live=_TREES, before=_TREES, manifest=_TREES)
def test_merge_is_idempotent_pure_and_contains_the_manifest(live: Any, before: Any, manifest: Any) -> None:
    inputs = deepcopy((live, before, manifest))
    merged = merge.apply(live, before, manifest)
    assert (live, before, manifest) == inputs
    assert merge.apply(merged, manifest, manifest) == merged
    assert _contains(merged, manifest)
    json.dumps(merged)


@given(before=_TREES, manifest=_TREES)
def test_merge_leaves_nothing_of_the_old_manifest(before: Any, manifest: Any) -> None:
    created = merge.apply({}, {}, before)
    replaced = merge.apply(created, before, manifest)
    assert _without_empty(replaced) == _without_empty(manifest) or _contains(replaced, manifest)
    assert set(replaced) == set(manifest)


def _contains(tree: Any, part: Any) -> bool:
    if not isinstance(part, dict):
        return bool(tree == part)
    return isinstance(tree, dict) and all(key in tree and _contains(tree[key], value) for key, value in part.items())


def _without_empty(tree: Any) -> Any:
    return {key: _without_empty(value) for key, value in tree.items()} if isinstance(tree, dict) else tree
