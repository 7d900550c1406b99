"""How agents leave: out of the route first, drained, then deleted."""

from __future__ import annotations

import copy
from datetime import timedelta

import pytest

from disrouter_operator.errors import Rejected
from disrouter_operator.kube.observed import owner_uid
from disrouter_operator.kube.resources import CASCADES, CONFIG_MAPS, DEPLOYMENTS, INFERENCE_SERVICES, JOBS, Key, Object
from disrouter_operator.reconcile.reconciler import Requeue, reconcile
from support import clusters
from support.scenes import SETTINGS, Scene


async def test_a_removed_agent_leaves_the_route_drains_and_goes() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    scene.serve("small", "medium", "large")
    await scene.run()
    manifest = clusters.example()
    del manifest["spec"]["agents"][1]
    scene.kube.put(manifest)
    scene.kube.writes.clear()
    requeue = await scene.run()
    assert scene.kube.writes[0] == ("apply", "ConfigMap", "qwen-routes")
    assert scene.table().path() == ["small", "large"]
    assert scene.agent("medium")["phase"] == "Draining"
    assert scene.agent("medium")["drainingSince"] == "2026-01-01T00:00:00Z"
    assert "qwen-medium" in scene.kube.names(INFERENCE_SERVICES)
    assert not [name for name in scene.kube.names(JOBS) if "medium" in name]
    assert requeue == Requeue(90.0)
    scene.now += timedelta(seconds=89)
    assert await scene.run() == Requeue(1.0)
    scene.now += timedelta(seconds=1)
    await scene.run(2)
    assert "qwen-medium" not in scene.kube.names(INFERENCE_SERVICES)
    assert [agent["name"] for agent in scene.status["agents"]] == ["small", "large"]
    assert "Removed" in scene.reasons()


async def test_an_agent_that_comes_back_while_it_drains_stays() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    manifest = clusters.example()
    del manifest["spec"]["agents"][1]
    scene.kube.put(manifest)
    await scene.run()
    scene.kube.put(clusters.example())
    assert await scene.run() is None
    assert "drainingSince" not in scene.agent("medium")
    assert scene.table().path() == ["small", "medium", "large"]


async def test_a_model_that_moves_to_a_provider_keeps_serving_until_it_is_drained() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    manifest = clusters.example()
    medium = manifest["spec"]["agents"][1]
    for field in ("model", "selfAwareness", "replicas", "resources", "engine"):
        medium.pop(field, None)
    medium["external"] = {"url": "https://api.example.com/v1", "model": "middle"}
    scene.kube.put(manifest)
    await scene.run()
    assert "qwen-medium" in scene.kube.names(INFERENCE_SERVICES)
    assert "qwen-medium" in scene.kube.names(DEPLOYMENTS)
    assert scene.table().agents["medium"].url == "http://qwen-medium.default.svc.cluster.local"
    assert scene.agent("medium")["drainingSince"]
    scene.now += timedelta(seconds=90)
    await scene.run(2)
    assert "qwen-medium" not in scene.kube.names(INFERENCE_SERVICES)
    assert "drainingSince" not in scene.agent("medium")


async def test_a_cascade_that_is_gone_or_going_is_left_to_the_garbage_collector() -> None:
    scene = Scene(clusters.example())
    scene.kube.one(CASCADES, "qwen")["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert await scene.run() is None
    assert await reconcile(scene.kube, Key("default", "none"), SETTINGS, lambda: scene.now) is None
    assert scene.kube.writes == []


async def test_what_a_former_cascade_of_the_same_name_left_goes_and_its_successor_gets_children_of_its_own() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    left = {id_: _uid(obj) for id_, obj in scene.kube.objects.items() if owner_uid(obj) is not None}
    del scene.kube.objects[CASCADES, "default", "qwen"]  # and the garbage collector missed it
    scene.kube.put(_without_medium())
    await scene.run()
    assert not any(owner_uid(obj) is not None for obj in scene.kube.objects.values()), "their names must be free first"
    await scene.run()
    uid = _uid(scene.kube.one(CASCADES, "qwen"))
    now = {id_: obj for id_, obj in scene.kube.objects.items() if owner_uid(obj) is not None}
    assert {owner_uid(obj) for obj in now.values()} == {uid}
    assert now.keys() < left.keys()
    assert not any(_uid(obj) == left[id_] for id_, obj in now.items())
    assert scene.condition("Degraded")["status"] == "False"
    scene.kube.writes.clear()
    await scene.run()
    assert scene.kube.writes == []


async def test_what_a_former_cascade_left_says_nothing_of_its_successor() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    scene.serve("small", "large")
    await scene.run()
    assert scene.agent("large")["ready"] is True
    del scene.kube.objects[CASCADES, "default", "qwen"]
    scene.kube.put(clusters.example())
    await scene.run()
    assert [agent["ready"] for agent in scene.status["agents"]] == [False, False, False]


@pytest.mark.parametrize(
    "owner", [{"name": "other"}, {"kind": "Deployment"}, {"apiVersion": "example.com/v1"}, {"controller": False}]
)
async def test_what_anybody_else_owns_stays_though_it_has_our_label(owner: Object) -> None:
    scene = Scene(clusters.example())
    await scene.run()
    theirs = copy.deepcopy(scene.kube.one(CONFIG_MAPS, "qwen-routes"))
    theirs["metadata"]["name"] = "theirs"
    theirs["metadata"]["ownerReferences"][0] |= {"uid": "another"} | owner
    scene.kube.put(theirs)
    await scene.run()
    assert "theirs" in scene.kube.names(CONFIG_MAPS)


async def test_what_a_former_cascade_left_and_is_on_its_way_out_is_waited_for() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    routes = scene.kube.one(CONFIG_MAPS, "qwen-routes")
    routes["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    del scene.kube.objects[CASCADES, "default", "qwen"]
    scene.kube.put(clusters.example())
    assert await scene.run() == Requeue(5.0)
    assert _uid(scene.kube.one(CONFIG_MAPS, "qwen-routes")) == _uid(routes)


def _uid(obj: Object) -> str:
    return str(obj["metadata"]["uid"])


def _without_medium() -> Object:
    manifest = clusters.example()
    del manifest["spec"]["agents"][1]
    return manifest


async def test_a_refused_agent_does_not_keep_a_removed_one_from_going() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    manifest = _without_medium()
    manifest["spec"]["agents"].insert(0, {"name": "tiny", "model": {"uri": "hf://a/b"}, "cost": 0.0})
    scene.kube.put(manifest)
    scene.kube.refuse = lambda obj: Rejected("GPU quota", 403) if obj["metadata"]["name"] == "qwen-tiny" else None
    await scene.run()
    scene.now += timedelta(seconds=90)
    await scene.run()
    assert "qwen-medium" not in scene.kube.names(INFERENCE_SERVICES)
    assert scene.condition("Ready")["reason"] == "ChildRefused"


@pytest.mark.parametrize("refused", ["qwen-routes", "qwen"])
async def test_nothing_is_deleted_while_traffic_could_still_be_sent_to_it(refused: str) -> None:
    scene = Scene(clusters.example())
    await scene.run()
    scene.serve("medium", "large")
    await scene.run()
    scene.kube.refuse = lambda obj: Rejected("no", 403) if obj["metadata"]["name"] == refused else None
    scene.kube.put(_without_medium())
    await scene.run()
    scene.now += timedelta(seconds=91)
    await scene.run()
    assert "qwen-medium" in scene.kube.names(INFERENCE_SERVICES)
    assert scene.agent("medium")["phase"] == "Draining"
    assert "Removed" not in scene.reasons()
    scene.kube.refuse = lambda _: None
    await scene.run()
    assert "qwen-medium" not in scene.kube.names(INFERENCE_SERVICES)
