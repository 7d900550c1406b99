"""Whose a child is: orphans of ours are adopted, strangers are never taken over, and what goes is let go in silence."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from disrouter import names
from disrouter_operator.errors import Conflict, KubeError, Rejected
from disrouter_operator.kube.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    HORIZONTAL_POD_AUTOSCALERS,
    INFERENCE_SERVICES,
    INGRESSES,
    NETWORK_POLICIES,
    POD_DISRUPTION_BUDGETS,
    SERVICES,
    Object,
    Resource,
)
from support import clusters
from support.kube_fake import KubeFake
from support.scenes import Scene, serving

KINDS: tuple[Resource, ...] = (INFERENCE_SERVICES, SERVICES, CONFIG_MAPS, POD_DISRUPTION_BUDGETS)
ENDING = "configmaps is forbidden: unable to create new content in namespace default because it is being terminated"


def children(scene: Scene) -> list[Object]:
    return [obj for (kind, _, _), obj in scene.kube.objects.items() if kind in KINDS]


def orphan(scene: Scene) -> None:
    """As `kubectl delete --cascade=orphan` leaves them."""
    for obj in children(scene):
        obj["metadata"].pop("ownerReferences")


async def test_orphans_that_carry_our_labels_are_adopted_and_that_is_said() -> None:
    scene = await serving(clusters.example(), "small", "medium", "large")
    before = {obj["metadata"]["name"]: obj["metadata"]["uid"] for obj in children(scene)}
    orphan(scene)
    await scene.run()
    assert all(obj["metadata"]["ownerReferences"] for obj in children(scene) if "run" not in obj["metadata"]["name"])
    assert {obj["metadata"]["name"]: obj["metadata"]["uid"] for obj in children(scene)} == before
    assert "ChildAdopted" in scene.reasons()
    assert scene.condition("Degraded")["status"] == "False"


async def test_an_orphan_of_an_agent_that_is_not_in_the_manifest_is_drained_like_any_other() -> None:
    scene = await serving(clusters.example(drainSeconds=0), "small", "medium", "large")
    orphan(scene)
    manifest = clusters.example(drainSeconds=0)
    del manifest["spec"]["agents"][1]
    scene.kube.put(manifest)
    await scene.run()
    assert scene.kube.names(INFERENCE_SERVICES) == ["qwen-small"]


async def test_restored_children_are_adopted_where_they_are_wanted_though_nothing_says_who_wrote_them() -> None:
    scene = await serving(clusters.example(), "small", "medium", "large")
    before = {obj["metadata"]["name"]: obj["metadata"]["uid"] for obj in children(scene)}
    orphan(scene)
    for obj in children(scene):
        obj["metadata"].pop("managedFields")
    await scene.run()
    assert {obj["metadata"]["name"]: obj["metadata"]["uid"] for obj in children(scene)} == before
    assert scene.kube.one(INFERENCE_SERVICES, "qwen-small")["metadata"]["ownerReferences"]
    assert scene.condition("Degraded")["status"] == "False"


async def test_what_kserve_made_of_an_agent_stays_though_a_restore_took_its_owner() -> None:
    """KServe copies the labels of an InferenceService to its Deployment and Service."""
    scene = await serving(clusters.example(drainSeconds=0), "small", "medium", "large")
    made = scene.kube.one(DEPLOYMENTS, "qwen-small-predictor")
    made["metadata"].pop("ownerReferences")
    await scene.kube.scale(made)  # this too is a write of ours
    metadata = {key: made["metadata"][key] for key in ("name", "namespace", "labels")}
    scene.kube.put({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {}})
    await scene.run(2)
    assert "qwen-small-predictor" in scene.kube.names(DEPLOYMENTS)
    assert "qwen-small-predictor" in scene.kube.names(SERVICES)
    assert "drainingSince" not in scene.agent("small")


@pytest.mark.parametrize(
    "kind", [NETWORK_POLICIES, HORIZONTAL_POD_AUTOSCALERS, POD_DISRUPTION_BUDGETS, INGRESSES, SERVICES, CONFIG_MAPS]
)
@pytest.mark.parametrize("component", ["agent", "training"])
async def test_what_a_user_made_for_a_cascade_s_pods_is_never_deleted(kind: Resource, component: str) -> None:
    scene = await serving(clusters.example(drainSeconds=0), "small", "medium", "large")
    labels = clusters.cascade(clusters.example()).labels(component, "small") | {names.LABEL_WORKLOAD: "qwen-small"}
    metadata = {"name": "custom", "namespace": "default", "labels": labels}
    scene.kube.put({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": {}})
    await scene.run(2)
    assert "custom" in scene.kube.names(kind)


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {}},
        {"labels": {names.LABEL_CASCADE: "other", names.LABEL_COMPONENT: "agent"}},
        {
            "labels": {names.LABEL_CASCADE: "qwen", names.LABEL_COMPONENT: "agent"},
            "ownerReferences": [{"kind": "Other", "name": "x", "uid": "u", "controller": True}],
        },
    ],
)
async def test_what_is_somebody_elses_is_never_taken_over(metadata: Any) -> None:
    scene = Scene(clusters.example())
    owner = clusters.cascade(clusters.example())
    stranger = owner.child(INFERENCE_SERVICES, "qwen-small", {})
    stranger["metadata"] = {"name": "qwen-small", "namespace": "default", **metadata}
    stranger["spec"] = {"predictor": {"containers": []}}
    scene.kube.put(stranger)
    await scene.run()
    assert "is not this cascade's" in scene.condition("Degraded")["message"]
    assert scene.kube.one(INFERENCE_SERVICES, "qwen-small")["metadata"].get("ownerReferences") == metadata.get(
        "ownerReferences"
    )


async def test_a_terminating_namespace_is_left_alone_without_noise(caplog: pytest.LogCaptureFixture) -> None:
    scene = await serving(clusters.example(), "small", "medium", "large")
    before = scene.status
    del scene.kube.objects[CONFIG_MAPS, "default", "qwen-routes"]
    scene.kube.refuse = lambda _: Rejected(ENDING, 403)
    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert await scene.run(3) is None
    assert caplog.records == []
    assert scene.status == before


async def test_pods_that_were_scaled_by_hand_are_as_many_as_before_and_that_lasts() -> None:
    scene = await serving(clusters.example(), "small", "medium", "large")
    deployment = DEPLOYMENTS, "default", "qwen-small-predictor"
    scene.kube.objects[deployment]["spec"]["replicas"] = 3
    await scene.run(2)
    assert scene.kube.objects[deployment]["spec"]["replicas"] == 1
    assert "ChildNotKept" not in scene.reasons()


class Unwritable(KubeFake):
    """Its statuses cannot be written."""

    def __init__(self, error: KubeError) -> None:
        super().__init__()
        self._error = error

    async def patch_status(self, obj: Object) -> Object:
        raise self._error


def unwritable(error: KubeError) -> Scene:
    scene = Scene(clusters.example())
    scene.kube = Unwritable(error)
    scene.kube.put(clusters.example())
    return scene


async def test_a_cascade_that_went_meanwhile_needs_no_status() -> None:
    await unwritable(KubeError("not found", 404)).run()


async def test_a_status_that_moved_on_is_written_again() -> None:
    with pytest.raises(Conflict):
        await unwritable(Conflict("moved on", 409)).run()
