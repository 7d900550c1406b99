"""How many pods: who says so, what an edit of it touches, zero where it is allowed, one budget over all of them."""

from __future__ import annotations

from typing import Any

import pytest

from disrouter.api import CascadeStatus
from disrouter.names import predictor
from disrouter_operator.errors import KubeError
from disrouter_operator.kube.resources import (
    DEPLOYMENTS,
    HORIZONTAL_POD_AUTOSCALERS,
    INFERENCE_SERVICES,
    POD_DISRUPTION_BUDGETS,
    SCALED_OBJECTS,
    Object,
    Resource,
)
from disrouter_operator.manifests.serving import inference_service
from disrouter_operator.manifests.serving.sidecar_container import Provider
from disrouter_operator.plan.cascade_plan import make_plan
from disrouter_operator.reconcile.listed_kinds import ListedKinds
from disrouter_operator.reconcile.observe import observe
from support import clusters
from support.scenes import KEY, SETTINGS, Scene

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
    scene.fall_silent("medium")
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
    scene.fall_silent("medium")
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
    provider = Provider("http://provider/v1", "big")

    def replicas(*managers: Object) -> Any:
        live = {"metadata": {"managedFields": list(managers)}, "spec": {"replicas": 5}}
        return inference_service.deployment(owner, agent, provider, "sidecar:test", live)["spec"].get("replicas")

    assert "replicas" not in inference_service.deployment(owner, agent, provider, "sidecar:test")["spec"]
    assert replicas(ours) == 5, "leaving out what is ours would reset it to 1"
    assert replicas(theirs) is None


async def test_one_budget_is_over_the_pods_of_all_agents_whatever_their_number() -> None:
    scene = Scene(_with(1, replicas={"min": 2, "max": 4}))
    await scene.run(2)
    assert scene.kube.names(POD_DISRUPTION_BUDGETS) == ["qwen"]
    spec = scene.kube.one(POD_DISRUPTION_BUDGETS, "qwen")["spec"]
    assert (spec["maxUnavailable"], spec["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    workloads = [scene.kube.one(INFERENCE_SERVICES, f"qwen-{name}") for name in ("small", "medium")]
    for workload in (*workloads, scene.kube.one(DEPLOYMENTS, "qwen-large")):
        assert spec["selector"]["matchLabels"].items() <= workload["metadata"]["labels"].items()


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
    assert scene.kube.names(POD_DISRUPTION_BUDGETS) == ["qwen"]
    assert scene.condition("Degraded")["message"] == "nothing failed"


BOUNDS = ("limits", "requests")
ON_CPU: Object = {"resources": {"limits": {"cpu": "2"}}}
EDITS: list[Object] = [
    {},
    {"replicas": {"min": 1, "max": 3}},
    {"replicas": {"min": 1, "max": 3}, "autoscaling": {"target": 60}},
    {"replicas": {"min": 0, "max": 3}, "autoscaling": QUERY | {"target": 2}},
    {"replicas": {"min": 0, "max": 3}, "autoscaling": {"autoscaler": "external"}},
    {"replicas": {"min": 2, "max": 2}},
]


def test_no_edit_of_how_an_agent_scales_reaches_its_pods() -> None:
    """KServe copies labels and annotations of an InferenceService into the pod template."""
    seen = []
    for edit in EDITS:
        owner = clusters.cascade(_with(1, **ON_CPU, **edit))
        built = inference_service.inference_service(owner, owner.spec.agents[1], None, "sidecar:test")
        assert built["spec"]["predictor"].pop("deploymentStrategy")
        seen.append(built)
    assert all(each == seen[0] for each in seen)
    assert seen[0]["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "external"


@pytest.mark.parametrize(("most", "strategy"), [(1, "Recreate"), (2, "RollingUpdate")])
def test_several_pods_are_replaced_one_at_a_time(most: int, strategy: str) -> None:
    owner = clusters.cascade(_with(1, replicas={"min": 1, "max": most}))
    built = inference_service.inference_service(owner, owner.spec.agents[1], None, "sidecar:test")
    found = built["spec"]["predictor"]["deploymentStrategy"]
    assert found["type"] == strategy
    assert found.get("rollingUpdate") in (None, {"maxSurge": 0, "maxUnavailable": 1})


async def _scaled(**medium: Any) -> Scene:
    """A scene whose agent medium has one pod, as KServe makes it."""
    scene = Scene(_with(1, **medium))
    await scene.run()
    scene.serve("small", "medium", "large")
    await scene.run()
    return scene


def _pods(scene: Scene) -> Any:
    return scene.kube.one(DEPLOYMENTS, predictor("qwen-medium"))["spec"]["replicas"]


async def test_the_cpu_scales_an_engine_on_cpus_and_none_on_a_gpu() -> None:
    scene = await _scaled(replicas={"min": 1, "max": 3})
    assert scene.kube.names(HORIZONTAL_POD_AUTOSCALERS) == []
    scene = await _scaled(**ON_CPU, replicas={"min": 1, "max": 3})
    spec = scene.kube.one(HORIZONTAL_POD_AUTOSCALERS, "qwen-medium")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (1, 3)
    assert spec["scaleTargetRef"]["name"] == "qwen-medium-predictor"
    assert spec["metrics"][0]["containerResource"]["container"] == "kserve-container"


@pytest.mark.parametrize("place", ["cascade", "agent"])
@pytest.mark.parametrize(
    "resources", [{"claims": [{"name": "gpu"}]}, {"limits": {"example.com/npu": "1"}}], ids=["claim", "limit"]
)
async def test_the_cpu_scales_no_engine_whose_pod_template_asks_for_a_device(place: str, resources: Object) -> None:
    engine = {"name": "kserve-container", "resources": resources}
    pod = {"template": {"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "h"}], "containers": [engine]}}
    manifest = _with(1, **ON_CPU, replicas={"min": 1, "max": 3}, **({"pod": pod} if place == "agent" else {}))
    manifest["spec"] |= {"pod": pod} if place == "cascade" else {}
    scene = Scene(manifest)
    await scene.run()
    assert scene.condition("SpecValid")["status"] == "True"
    assert scene.kube.names(HORIZONTAL_POD_AUTOSCALERS) == []


async def test_the_cpu_scales_an_engine_whose_pod_template_takes_its_gpu_away() -> None:
    engine = {"name": "kserve-container", "resources": {bound: {"nvidia.com/gpu": None} for bound in BOUNDS}}
    scene = await _scaled(replicas={"min": 1, "max": 3}, pod={"template": {"containers": [engine]}})
    assert scene.kube.names(HORIZONTAL_POD_AUTOSCALERS) == ["qwen-medium"]


async def test_who_scales_by_hand_is_kept_within_the_bounds() -> None:
    scene = await _scaled(replicas={"min": 1, "max": 3})
    for pods, kept in ((2, 2), (9, 3), (0, 1)):
        live = scene.kube.one(DEPLOYMENTS, predictor("qwen-medium"))
        scene.kube.put({**live, "spec": {**live["spec"], "replicas": pods}})
        await scene.run()
        assert _pods(scene) == kept


async def test_a_fixed_number_of_pods_is_kept_and_who_changed_it_is_told() -> None:
    scene = await _scaled(replicas={"min": 2, "max": 2})
    assert _pods(scene) == 2
    assert "ChildRepaired" not in scene.reasons(), "nobody has changed it: the manifest asks for two"
    live = scene.kube.one(DEPLOYMENTS, predictor("qwen-medium"))
    by = {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    live["metadata"]["managedFields"] = [by]
    scene.kube.put({**live, "spec": {**live["spec"], "replicas": 5}})
    await scene.run()
    assert _pods(scene) == 2
    (event,) = [obj for obj in scene.kube.objects.values() if obj.get("reason") == "ChildRepaired"]
    assert event["message"] == (
        "Deployment qwen-medium-predictor was scaled by kubectl and has 2 pods again, as spec.agents says"
    )


async def test_one_autoscaler_goes_before_another_comes() -> None:
    scene = await _scaled(**ON_CPU, replicas={"min": 1, "max": 3})
    scene.kube.put(_with(1, **ON_CPU, replicas={"min": 0, "max": 3}, autoscaling=QUERY | {"target": 2}))
    scene.kube.writes.clear()
    await scene.run()
    autoscalers = [write for write in scene.kube.writes if write[1] in ("HorizontalPodAutoscaler", "ScaledObject")]
    assert autoscalers == [
        ("delete", "HorizontalPodAutoscaler", "qwen-medium"),
        ("apply", "ScaledObject", "qwen-medium"),
    ]
    spec = scene.kube.one(SCALED_OBJECTS, "qwen-medium")["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (0, 3)
    metadata = {"serverAddress": "http://prometheus:9090", "query": "sum(x)", "threshold": "2"}
    assert spec["triggers"] == [{"type": "prometheus", "metadata": metadata}]
    scene.kube.put(_with(1, **ON_CPU))
    await scene.run()
    assert scene.kube.names(SCALED_OBJECTS) == []


async def test_an_autoscaler_that_goes_is_deleted_once() -> None:
    scene = await _scaled(**ON_CPU, replicas={"min": 1, "max": 3})
    observed = await observe(scene.kube, KEY, ListedKinds())
    assert observed is not None
    observed.parent["spec"]["agents"][1]["replicas"] = {"min": 1, "max": 1}
    plan = make_plan(observed, CascadeStatus(), SETTINGS, scene.now)
    gone = [each.name for each in (*plan.rivals, *plan.deletes) if each.resource == HORIZONTAL_POD_AUTOSCALERS]
    assert gone == ["qwen-medium"]


def _by_kserve(scene: Scene, kind: Resource, name: str) -> None:
    """What KServe made to scale an InferenceService, when it was told to."""
    made = scene.kube.one(DEPLOYMENTS, predictor(name))
    metadata = {key: made["metadata"][key] for key in ("name", "namespace", "labels", "ownerReferences")}
    spec = {"scaleTargetRef": {"name": predictor(name)}}
    scene.kube.put({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": spec})


@pytest.mark.parametrize("kind", [HORIZONTAL_POD_AUTOSCALERS, SCALED_OBJECTS])
async def test_what_kserve_made_to_scale_an_agent_goes_before_ours_comes(kind: Resource) -> None:
    scene = await _scaled(**ON_CPU, replicas={"min": 1, "max": 3}, autoscaling=QUERY | {"target": 2})
    _by_kserve(scene, kind, "qwen-medium")
    del scene.kube.objects[SCALED_OBJECTS, "default", "qwen-medium"]
    scene.kube.writes.clear()
    await scene.run()
    assert scene.kube.writes[:2] == [
        ("delete", kind.kind, "qwen-medium-predictor"),
        ("apply", "ScaledObject", "qwen-medium"),
    ]


async def test_an_autoscaler_of_kserve_stays_while_kserve_is_told_to_scale() -> None:
    """It would make it anew, and again."""
    scene = await _scaled(**ON_CPU, replicas={"min": 1, "max": 3})
    _by_kserve(scene, HORIZONTAL_POD_AUTOSCALERS, "qwen-medium")
    live = scene.kube.one(INFERENCE_SERVICES, "qwen-medium")
    live["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] = "hpa"
    await scene.run()
    assert predictor("qwen-medium") in scene.kube.names(HORIZONTAL_POD_AUTOSCALERS)
    await scene.run()
    assert predictor("qwen-medium") not in scene.kube.names(HORIZONTAL_POD_AUTOSCALERS)


async def test_a_former_budget_of_an_agent_goes_at_once_though_the_agent_drains() -> None:
    """A pod under two budgets cannot be evicted."""
    scene = await _scaled()
    former = clusters.cascade(_with(1)).child(POD_DISRUPTION_BUDGETS, "qwen-medium", {})
    former["metadata"]["labels"] = clusters.cascade(_with(1)).labels("agent", "medium")
    former["metadata"]["ownerReferences"] = scene.kube.one(POD_DISRUPTION_BUDGETS, "qwen")["metadata"][
        "ownerReferences"
    ]
    scene.kube.put(former | {"spec": {"maxUnavailable": 1}})
    manifest = _with(1)
    del manifest["spec"]["agents"][1]
    scene.kube.put(manifest)
    await scene.run()
    assert scene.agent("medium")["phase"] == "Draining"
    assert scene.kube.names(POD_DISRUPTION_BUDGETS) == ["qwen"]


async def test_without_keda_its_scaled_object_is_refused_by_name() -> None:
    scene = Scene(_with(1, replicas={"min": 1, "max": 3}, autoscaling=QUERY))
    scene.kube.absent.add(SCALED_OBJECTS)
    scene.kube.refuse = lambda obj: KubeError("not found", 404) if obj["kind"] == "ScaledObject" else None
    await scene.run()
    assert "ScaledObject qwen-medium: not found (is KEDA installed?)" in scene.condition("Degraded")["message"]
