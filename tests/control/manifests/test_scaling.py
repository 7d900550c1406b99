"""How many pods: scaled to zero is healthy where it is allowed, budgets where there are pods to spare."""

from __future__ import annotations

from typing import Any

import pytest

from disrouter.names import predictor
from disrouter_operator.kube.resources import DEPLOYMENTS, INFERENCE_SERVICES, POD_DISRUPTION_BUDGETS, Object
from disrouter_operator.manifests.serving import inference_service
from support import clusters
from support.scenes import Scene

QUERY = {"autoscaler": "keda", "query": "sum(x)", "prometheus": "http://prometheus:9090"}


def _with(index: int, **fields: Any) -> Object:
    manifest = clusters.example()
    manifest["spec"].pop("training")
    for agent in manifest["spec"]["agents"][:2]:
        agent["selfAwareness"] = {"mode": "prompted"}
    manifest["spec"]["agents"][index] |= fields
    return manifest


def _empty(scene: Scene, name: str) -> None:
    """An autoscaler takes the last pod, and KServe calls the InferenceService unready (kserve/kserve#6079)."""
    deployment = scene.kube.one(DEPLOYMENTS, name)
    scene.kube.put({**deployment, "spec": {**deployment["spec"], "replicas": 0}, "status": {"observedGeneration": 99}})


@pytest.mark.parametrize(
    "agent",
    [
        {"replicas": {"min": 0, "max": 2}, "autoscaling": QUERY},
        {"replicas": {"min": 1, "max": 2}, "autoscaling": {"autoscaler": "external"}},
    ],
)
async def test_an_agent_that_was_scaled_to_zero_is_healthy_and_stays_in_the_route(agent: Object) -> None:
    scene = Scene(_with(1, **agent))
    await scene.run()
    scene.serve("small", "medium", "large")
    _empty(scene, predictor("qwen-medium"))
    scene.kube.set_status(INFERENCE_SERVICES, "qwen-medium", clusters.ready_status(ready="False"))
    await scene.run()
    medium = scene.agent("medium")
    assert (medium["phase"], medium["reason"], medium["ready"]) == ("Ready", "ScaledToZero", True)
    assert scene.table().path() == ["small", "medium", "large"]
    assert scene.condition("Ready")["status"] == "True"
    scene.serve("medium")
    await scene.run()
    assert "reason" not in scene.agent("medium")


async def test_an_agent_that_nobody_may_scale_to_zero_is_not_ready_without_pods() -> None:
    scene = Scene(_with(1))
    await scene.run()
    scene.serve("small", "medium", "large")
    _empty(scene, predictor("qwen-medium"))
    scene.kube.set_status(INFERENCE_SERVICES, "qwen-medium", clusters.ready_status(ready="False"))
    await scene.run()
    assert scene.agent("medium")["phase"] == "Pending"
    assert scene.condition("Ready")["status"] == "False"


async def test_queries_do_not_enter_at_an_agent_without_pods() -> None:
    external = {"replicas": {"min": 1, "max": 2}, "autoscaling": {"autoscaler": "external"}}
    scene = Scene(_with(0, **external))
    await scene.run()
    scene.serve("small", "medium", "large")
    _empty(scene, predictor("qwen-small"))
    await scene.run()
    assert scene.table().entrypoint == "medium"
    assert scene.condition("Ready")["status"] == "True"


async def test_an_external_agent_whose_last_pod_an_autoscaler_took_is_healthy() -> None:
    scene = Scene(_with(2, autoscaling={"autoscaler": "external"}))
    await scene.run()
    scene.serve("small", "medium", "large")
    _empty(scene, "qwen-large")
    await scene.run()
    assert scene.agent("large")["reason"] == "ScaledToZero"
    assert scene.condition("Ready")["status"] == "True"


def test_replicas_that_somebody_else_sets_are_not_ours() -> None:
    owner = clusters.cascade(_with(2, autoscaling={"autoscaler": "external"}))
    agent = owner.spec.agents[2]
    ours = {"manager": "disrouter", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    theirs = {"manager": "hpa", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}}

    def replicas(*managers: Object) -> Any:
        live = {"metadata": {"managedFields": list(managers)}, "spec": {"replicas": 5}}
        return inference_service.external(owner, agent, "sidecar:test", live)["spec"].get("replicas")

    assert "replicas" not in inference_service.external(owner, agent, "sidecar:test")["spec"]
    assert replicas(ours) == 5, "leaving out what is ours would reset it to 1"
    assert replicas(theirs) is None


async def test_an_agent_with_pods_to_spare_has_a_budget_as_long_as_it_has_them() -> None:
    scene = Scene(_with(1, replicas={"min": 2, "max": 4}))
    await scene.run(2)
    assert scene.kube.names(POD_DISRUPTION_BUDGETS) == ["qwen-medium"]
    spec = scene.kube.one(POD_DISRUPTION_BUDGETS, "qwen-medium")["spec"]
    assert spec["maxUnavailable"] == 1
    labels = scene.kube.one(INFERENCE_SERVICES, "qwen-medium")["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    scene.kube.put(_with(1, replicas={"min": 1, "max": 4}))
    await scene.run()
    assert scene.kube.names(POD_DISRUPTION_BUDGETS) == []


async def test_a_cluster_without_budgets_is_served_without_them_and_that_is_said() -> None:
    scene = Scene(_with(1, replicas={"min": 2, "max": 4}))
    scene.kube.absent.add(POD_DISRUPTION_BUDGETS)
    await scene.run()
    scene.serve("small", "medium", "large")
    await scene.run()
    assert scene.condition("Ready")["status"] == "True"
    degraded = scene.condition("Degraded")
    assert degraded["status"] == "False"
    assert "PodDisruptionBudget of policy/v1" in degraded["message"]
    scene.kube.absent.clear()
    await scene.run()
    assert scene.kube.names(POD_DISRUPTION_BUDGETS) == ["qwen-medium"]
    assert scene.condition("Degraded")["message"] == "nothing failed"
