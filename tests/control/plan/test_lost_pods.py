"""A drained node takes the agents one by one, and ends though a pod never comes up."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from disrouter_operator.kube.resources import DEPLOYMENTS, INFERENCE_SERVICES, POD_DISRUPTION_BUDGETS, PODS, Object
from disrouter_operator.kube.timestamps import timestamp
from disrouter_operator.plan.workload_health import STUCK_SECONDS
from support import clusters
from support.scenes import Scene, serving

AGENTS = ("small", "medium", "large")
NO_NODE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}
STARTING: Object = {"containerStatuses": [{"name": "kserve-container", "state": {"running": {}}}]}
CRASHED: Object = {"terminated": {"exitCode": 1}}


def budgeted(scene: Scene) -> int:
    return int(scene.kube.one(POD_DISRUPTION_BUDGETS, "qwen")["spec"]["maxUnavailable"])


def ready_pods(scene: Scene) -> list[str]:
    found = [scene.kube.one(PODS, name) for name in scene.kube.names(PODS)]
    return [
        pod["metadata"]["name"]
        for pod in found
        if any(each["type"] == "Ready" for each in pod["status"].get("conditions", []))
        and "deletionTimestamp" not in pod["metadata"]
    ]


def allowed(scene: Scene) -> int:
    """`disruptionsAllowed`, as the disruption controller counts: what the scales ask for less what is ready."""
    specs = [scene.kube.one(DEPLOYMENTS, name)["spec"] for name in scene.kube.names(DEPLOYMENTS)]
    expected = sum(int(spec.get("replicas", 1)) for spec in specs)
    return max(0, budgeted(scene) - (expected - len(ready_pods(scene))))


def evict(scene: Scene, name: str, status: Object) -> None:
    """A pod goes, and its Deployment makes another one of that status."""
    pod = scene.kube.objects.pop((PODS, "default", name))
    pod["metadata"] = {**pod["metadata"], "name": f"{name}-again", "creationTimestamp": timestamp(scene.now)}
    scene.kube.put({**pod, "status": status})


async def wait(scene: Scene, seconds: float) -> None:
    scene.now += timedelta(seconds=seconds)
    await scene.run()


async def test_a_drain_takes_one_pod_while_all_serve() -> None:
    scene = await serving(clusters.example(), *AGENTS)
    assert (budgeted(scene), allowed(scene)) == (1, 1)


async def test_an_agent_that_crashes_for_long_holds_up_nobody_s_drain() -> None:
    scene = await serving(clusters.example(), *AGENTS)
    crashing = {"containerStatuses": [{"name": "kserve-container", "state": CRASHED}]}
    evict(scene, "qwen-small-predictor-x1", crashing)
    await scene.run()
    assert allowed(scene) == 0, "it may be up again in a moment"
    await wait(scene, STUCK_SECONDS)
    assert allowed(scene) == 1
    scene.kube.objects.pop((PODS, "default", "qwen-small-predictor-x1-again"))
    scene.serve("small")
    await scene.run()
    assert budgeted(scene) == 1


async def test_another_teams_outage_holds_up_nobody_s_drain() -> None:
    """The sidecar before it is not ready for as long as it lasts."""
    scene = await serving(clusters.example(), *AGENTS)
    evict(scene, "qwen-large-x1", {"containerStatuses": [{"name": "transformer-container", "state": {"running": {}}}]})
    await scene.run()
    assert allowed(scene) == 0
    await wait(scene, STUCK_SECONDS)
    assert allowed(scene) == 1


async def test_a_drain_of_the_only_node_goes_on_agent_by_agent_to_its_end() -> None:
    scene = await serving(clusters.example(), *AGENTS)
    for left in (2, 1, 0):
        assert allowed(scene) == 1
        evict(scene, ready_pods(scene)[0], {"phase": "Pending", "conditions": [NO_NODE]})
        requeue = await scene.run()
        assert (len(ready_pods(scene)), allowed(scene)) == (left, 0)
        assert requeue is not None
        assert requeue.after <= STUCK_SECONDS
        await wait(scene, STUCK_SECONDS)


async def test_the_last_serving_pod_stays_while_another_starts() -> None:
    scene = await serving(clusters.example(), *AGENTS)
    for name in ready_pods(scene)[:2]:
        evict(scene, name, STARTING)
    await wait(scene, 10 * STUCK_SECONDS)
    assert (len(ready_pods(scene)), allowed(scene)) == (1, 0)


async def two_pods() -> Scene:
    manifest = clusters.example()
    manifest["spec"]["agents"][1]["replicas"] = {"min": 2, "max": 2}
    scene = await serving(manifest, *AGENTS)
    made = scene.kube.one(DEPLOYMENTS, "qwen-medium-predictor")
    second: Any = clusters.predictor_pod(made, timestamp(scene.now))
    second["metadata"]["name"] = "qwen-medium-predictor-x2"
    scene.kube.put(second)
    await scene.run()
    return scene


async def test_the_pods_of_one_agent_go_one_by_one_and_to_the_last_where_no_node_has_room() -> None:
    scene = await two_pods()
    for name in ("qwen-medium-predictor-x1", "qwen-medium-predictor-x2"):
        assert allowed(scene) == 1
        evict(scene, name, {"phase": "Pending", "conditions": [NO_NODE]})
        await scene.run()
        assert allowed(scene) == 0
        await wait(scene, STUCK_SECONDS)
    assert allowed(scene) == 1


async def test_a_pod_that_a_quota_refuses_is_lost_as_long_as_it_is_refused() -> None:
    scene = await two_pods()
    scene.kube.objects.pop((PODS, "default", "qwen-medium-predictor-x2"))
    await scene.run()
    assert budgeted(scene) == 1, "its Deployment is about to make another"
    refused = {"type": "ReplicaFailure", "status": "True", "lastTransitionTime": timestamp(scene.now)}
    status = scene.kube.one(DEPLOYMENTS, "qwen-medium-predictor")["status"]
    scene.kube.set_status(DEPLOYMENTS, "qwen-medium-predictor", status | {"conditions": [refused]})
    await wait(scene, STUCK_SECONDS)
    assert budgeted(scene) == 2


async def test_what_a_rollout_adds_to_enough_ready_pods_is_not_lost() -> None:
    scene = await serving(clusters.example(), *AGENTS)
    made = clusters.predictor_pod(scene.kube.one(DEPLOYMENTS, "qwen-small-predictor"), timestamp(scene.now))
    made["metadata"]["name"] = "qwen-small-predictor-new"
    scene.kube.put({**made, "status": {"phase": "Pending", "conditions": [NO_NODE]}})
    await wait(scene, STUCK_SECONDS)
    assert budgeted(scene) == 1
    assert scene.kube.names(INFERENCE_SERVICES) == ["qwen-medium", "qwen-small"]
