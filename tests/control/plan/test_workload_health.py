"""How a reconcile decides on what is served: workloads, routes, entry, conditions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from disrouter import names
from disrouter_operator.kube.resources import DEPLOYMENTS, INFERENCE_SERVICES, JOBS, PODS, SERVICES, resource_of
from support import clusters
from support.scenes import Scene


async def test_a_first_pass_creates_everything_and_a_second_writes_nothing() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    assert scene.kube.names(INFERENCE_SERVICES) == ["qwen-medium", "qwen-small"]
    assert scene.kube.names(DEPLOYMENTS) == ["qwen-large"]
    assert scene.kube.names(SERVICES) == ["qwen", "qwen-large"]
    assert len(scene.kube.names(JOBS)) == 2
    scene.kube.writes.clear()
    await scene.run(2)
    assert scene.kube.writes == []


async def test_the_entry_is_the_first_agent_that_serves() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    scene.serve("medium", "large")
    await scene.run()
    assert scene.table().entrypoint == "medium"
    assert scene.kube.one(SERVICES, "qwen")["spec"]["selector"][names.LABEL_AGENT] == "medium"
    assert scene.condition("EndpointReady")["status"] == "True"
    assert scene.condition("Ready") | {"lastTransitionTime": ""} == scene.condition("AgentsReady") | {
        "type": "Ready",
        "lastTransitionTime": "",
    }
    scene.serve("small")
    await scene.settle()
    assert scene.table().entrypoint == "small"
    assert scene.condition("Ready")["status"] == "True"
    assert scene.status["agentsReady"] == "3/3"
    assert "Ready" in scene.reasons()


async def test_adding_an_agent_writes_no_other_workload() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    manifest = clusters.example()
    manifest["spec"]["agents"].insert(1, {"name": "new", "model": {"uri": "hf://a/b"}, "cost": 0.2})
    scene.kube.put(manifest)
    scene.kube.writes.clear()
    await scene.run()
    workloads = [write for write in scene.kube.writes if write[1] in ("InferenceService", "Deployment", "Job")]
    assert [name for _, kind, name in workloads if kind != "Job"] == ["qwen-new"]
    assert all("new" in name for _, _, name in workloads)
    assert scene.table().path() == ["small", "new", "medium", "large"]


async def test_an_invalid_spec_changes_nothing_but_the_status() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    scene.serve("small", "medium", "large")
    await scene.run()
    before = scene.status["agents"]
    manifest = clusters.example()
    manifest["spec"]["agents"][1]["cost"] = 0.0
    scene.kube.put(manifest)
    scene.kube.writes.clear()
    await scene.run(2)
    kinds = [kind for verb, kind, _ in scene.kube.writes if verb != "create"]
    assert kinds == ["SelfRoutingCascade"]
    assert scene.condition("SpecValid")["status"] == "False"
    assert "order the agents by cost" in scene.condition("SpecValid")["message"]
    assert scene.status["agents"] == before
    scene.kube.put(clusters.example())
    await scene.run()
    assert scene.condition("SpecValid")["status"] == "True"
    assert scene.condition("Ready")["status"] == "True"


async def test_transition_times_move_only_with_the_condition() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    first = scene.condition("SpecValid")["lastTransitionTime"]
    scene.now += timedelta(hours=1)
    scene.serve("small", "medium", "large")
    await scene.run()
    assert scene.condition("SpecValid")["lastTransitionTime"] == first
    assert scene.condition("Ready")["lastTransitionTime"] == "2026-01-01T01:00:00Z"


async def test_a_model_that_kserve_cannot_load_is_shown_with_its_words() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    status = clusters.ready_status(ready="False")
    status["modelStatus"] = {
        "transitionStatus": "BlockedByFailedLoad",
        "lastFailureInfo": {"reason": "ModelLoadFailed", "message": "CUDA out of memory"},
    }
    scene.kube.set_status(INFERENCE_SERVICES, "qwen-small", status)
    await scene.run()
    small = scene.agent("small")
    assert (small["phase"], small["reason"]) == ("ServingFailed", "ModelLoadFailed")
    assert "CUDA out of memory" in small["message"]


BOOM = {"exitCode": 1, "reason": "Error", "message": "boom"}
KILLED = {"exitCode": 137, "reason": "OOMKilled"}


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"lastState": {"terminated": KILLED}, "state": {"running": {}}}, "OutOfMemory"),
        ({"lastState": {"terminated": BOOM}, "state": {"running": {}}}, "Crashing"),
        ({"state": {"running": {}}}, None),
    ],
)
async def test_a_pod_that_is_there_knows_better_than_what_kserve_said_of_one_before(
    state: dict[str, Any], reason: str | None
) -> None:
    scene = Scene(clusters.example())
    await scene.run()
    status = clusters.ready_status(ready="False")
    gone = {"reason": "ModelLoadFailed", "message": "of a pod before the edit"}
    status["modelStatus"] = {"transitionStatus": "BlockedByFailedLoad", "lastFailureInfo": gone}
    scene.kube.set_status(INFERENCE_SERVICES, "qwen-small", status)
    scene.kube.put(_pod(scene, {"name": "kserve-container", **state}))
    await scene.run()
    small = scene.agent("small")
    assert reason == (small["reason"] if small["phase"] == "ServingFailed" else None)
    assert gone["message"] not in str(small)


@pytest.mark.parametrize("annotation", ['{"spec": {"scenarios": "balance"}}', "not json", "[]"])
async def test_a_field_that_the_api_server_dropped_is_not_silently_ignored(annotation: str) -> None:
    manifest = clusters.example()
    manifest["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": annotation}
    scene = Scene(manifest)
    await scene.run()
    condition = scene.condition("SpecValid")
    if "scenarios" in annotation:
        assert condition["status"] == "False"
        assert "spec.scenarios: unknown field, did you mean 'scenario'?" in condition["message"]
    else:
        assert condition["status"] == "True"


async def test_a_pod_that_cannot_start_is_named() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    scene.kube.put(_pod(scene, {"name": "kserve-container", "state": waiting}))
    await scene.run()
    assert "no such image" in scene.condition("AgentsReady")["message"]
    assert "stage 1 of 4" in scene.agent("small")["message"]


def _pod(scene: Scene, container: dict[str, Any]) -> dict[str, Any]:
    """Of agent small, with what the kubelet says of a container of it."""
    labels = scene.kube.one(INFERENCE_SERVICES, "qwen-small")["metadata"]["labels"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "default", "labels": labels},
        "status": {"containerStatuses": [container]},
    }
    assert resource_of(pod) == PODS
    return pod


async def test_a_knative_agent_is_addressed_as_knative_does_and_ready_by_its_revision() -> None:
    scene = Scene(clusters.example(deploymentMode="Knative"))
    await scene.run()
    assert scene.table().agents["small"].url == "http://qwen-small.default.svc.cluster.local"
    _revision(scene, number=1, created=1, ready=1)
    await scene.run()
    await scene.train("medium", 0.1)
    assert scene.agent("medium")["phase"] == "Promoting", "KServe still names the revision before as its newest"
    assert scene.table().agents["medium"].awareness == "prompted"
    _revision(scene, number=2, created=2, ready=1)
    await scene.run()
    assert scene.agent("medium")["phase"] == "Promoting", "the revision before serves"
    assert scene.table().agents["medium"].awareness == "prompted"
    _revision(scene, number=2, created=2, ready=2)
    await scene.run(2)
    assert scene.agent("medium")["phase"] == "Ready"
    assert scene.table().agents["medium"].awareness == "trained"
    assert scene.agent("medium")["url"] == "http://qwen-medium.default.svc.cluster.local"


def _revision(scene: Scene, *, number: int, created: int, ready: int) -> None:
    """Knative makes a revision of agent medium as it is asked for now."""
    isvc = scene.kube.one(INFERENCE_SERVICES, "qwen-medium")
    scene.kube.put(clusters.knative_deployment(isvc, number))
    scene.kube.set_status(INFERENCE_SERVICES, "qwen-medium", clusters.knative_status(isvc, created, ready))


async def test_a_pod_template_that_hides_an_agent_from_its_service_is_an_invalid_spec() -> None:
    manifest = clusters.example()
    hides = {"containers": [{"name": "transformer-container", "ports": [{"$patch": "replace"}]}]}
    manifest["spec"]["agents"][1]["pod"] = {"template": hides}
    scene = Scene(manifest)
    await scene.run()
    assert scene.condition("SpecValid")["status"] == "False"
    said = scene.condition("SpecValid")["message"]
    assert "spec.agents[1].pod.template.containers[transformer-container].ports: is disrouter's to set" in said
    assert scene.kube.names(INFERENCE_SERVICES) == []


async def test_pod_options_of_one_agent_touch_that_agent_alone() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    manifest = clusters.example()
    manifest["spec"]["agents"][1]["pod"] = {"nodeSelector": {"gpu": "h100"}, "labels": {"team": "ml"}}
    scene.kube.put(manifest)
    scene.kube.writes.clear()
    await scene.run()
    assert [name for _, kind, name in scene.kube.writes if kind in ("InferenceService", "Deployment")] == [
        "qwen-medium"
    ]
    predictor = scene.kube.one(INFERENCE_SERVICES, "qwen-medium")["spec"]["predictor"]
    assert (predictor["nodeSelector"], predictor["labels"]) == ({"gpu": "h100"}, {"team": "ml"})
