"""A cold agent wakes and serves again, and nobody calls that a fault; what keeps it asleep is told."""

from __future__ import annotations

from datetime import timedelta

import pytest

from disrouter import names
from disrouter_operator.kube.resources import DEPLOYMENTS, PODS, Object
from disrouter_operator.kube.timestamps import timestamp
from disrouter_operator.plan.workload_health import STUCK_SECONDS, WAKING_SECONDS
from support import clusters
from support.scenes import Scene

KEDA = {"autoscaler": "keda", "prometheus": "http://prometheus:9090", "target": 8}
SCALED = {
    "medium": {"replicas": {"min": 0, "max": 2}, "autoscaling": KEDA},
    "large": {"autoscaling": {"autoscaler": "external"}},
}
"""By agent, the last of which is external: what lets it have no pods."""
CRASHING = {"terminated": {"exitCode": 1, "reason": "Error"}}


def manifest(agent: str) -> Object:
    built = clusters.example()
    built["spec"].pop("training")
    for each in built["spec"]["agents"][:2]:
        each["selfAwareness"] = {"mode": "prompted"}
    (scaled,) = [each for each in built["spec"]["agents"] if each["name"] == agent]
    scaled.update(SCALED[agent])
    return built


def deployment(scene: Scene, agent: str) -> Object:
    (name,) = [
        name for name in scene.kube.names(DEPLOYMENTS) if name in (f"qwen-{agent}", names.predictor(f"qwen-{agent}"))
    ]
    return scene.kube.one(DEPLOYMENTS, name)


def scaled(scene: Scene, agent: str, pods: int) -> None:
    """Its Deployment is scaled, and has as many pods, none of which serves."""
    scene.fall_silent(agent)
    live, shown = deployment(scene, agent), {"replicas": pods, "updatedReplicas": pods} if pods else {}
    scene.kube.put({**live, "spec": {**live["spec"], "replicas": pods}, "status": {"observedGeneration": 99, **shown}})


async def asleep(agent: str) -> Scene:
    scene = Scene(manifest(agent))
    await scene.run()
    scene.serve("small", "medium", "large")
    await scene.settle()
    scaled(scene, agent, 0)
    await scene.run()
    return scene


def said(scene: Scene, agent: str) -> tuple[str, str | None]:
    status = scene.agent(agent)
    return status["phase"], status.get("reason")


@pytest.mark.parametrize("agent", SCALED)
async def test_it_sleeps_and_wakes_while_the_cascade_stays_ready(agent: str) -> None:
    scene = await asleep(agent)
    assert said(scene, agent) == ("Ready", "ScaledToZero")
    scaled(scene, agent, 1)
    await scene.run()
    assert said(scene, agent) == ("Ready", "Waking")
    assert scene.condition("Ready")["status"] == "True"
    assert scene.condition("Degraded")["status"] == "False"
    assert (
        scene.condition("AgentsReady")["message"]
        == f"every agent in the route serves but for those without pods: {agent}"
    )
    assert (scene.table().entrypoint, scene.table().path()) == ("small", ["small", "medium", "large"])
    scene.serve(agent)
    await scene.run()
    assert said(scene, agent) == ("Ready", None)
    assert scene.condition("AgentsReady")["message"] == "every agent in the route serves"


async def test_who_starts_for_the_first_time_does_not_wake() -> None:
    scene = Scene(manifest("medium"))
    await scene.run()
    scene.serve("small", "medium", "large")
    scaled(scene, "medium", 1)
    await scene.run()
    assert said(scene, "medium") == ("Pending", "Starting")
    assert scene.condition("Ready")["status"] == "False"


async def test_a_pod_that_does_not_come_up_is_told_once_nobody_waits_for_it() -> None:
    scene = await asleep("medium")
    scaled(scene, "medium", 1)
    pod = clusters.predictor_pod(deployment(scene, "medium"), timestamp(scene.now))
    state = {"containerStatuses": [{"name": "kserve-container", "state": CRASHING}]}
    scene.kube.put({**pod, "status": state})
    await scene.run()
    assert said(scene, "medium") == ("Ready", "Waking")
    scene.now += timedelta(seconds=STUCK_SECONDS)
    await scene.run()
    assert said(scene, "medium")[0] == "Pending"
    assert scene.condition("Ready")["status"] == "False"
    assert scene.kube.names(PODS)


@pytest.mark.parametrize("agent", SCALED)
@pytest.mark.parametrize("pod", ["none", "ready without an endpoint"])
async def test_who_wakes_for_too_long_is_told_as_any_agent_that_does_not_serve(agent: str, pod: str) -> None:
    scene = await asleep(agent)
    scaled(scene, agent, 1)
    if pod != "none":
        scene.kube.put(clusters.predictor_pod(deployment(scene, agent), timestamp(scene.now)))
    requeue = await scene.run()
    assert said(scene, agent) == ("Ready", "Waking")
    assert requeue is not None
    assert requeue.after <= WAKING_SECONDS, "nothing else wakes the operator then"
    scene.now += timedelta(seconds=WAKING_SECONDS - 1)
    requeue = await scene.run()
    assert said(scene, agent) == ("Ready", "Waking")
    assert requeue is not None
    assert requeue.after <= 1
    scene.now += timedelta(seconds=1)
    for _ in range(2):
        await scene.run()
        assert said(scene, agent) == ("Pending", "Starting")
        assert scene.condition("Ready")["status"] == "False"
    scaled(scene, agent, 0)
    await scene.run()
    assert said(scene, agent) == ("Ready", "ScaledToZero")
    scaled(scene, agent, 1)
    await scene.run()
    assert said(scene, agent) == ("Ready", "Waking"), "it may try again"


async def test_a_pod_that_is_lost_after_it_woke_is_missed() -> None:
    scene = await asleep("medium")
    scaled(scene, "medium", 1)
    await scene.run()
    scene.serve("medium")
    await scene.settle()
    scaled(scene, "medium", 1)
    await scene.run()
    assert said(scene, "medium") == ("Pending", "Starting")


async def test_requests_enter_at_the_next_agent_while_the_first_sleeps_and_wakes() -> None:
    built = clusters.example()
    built["spec"].pop("training")
    for each in built["spec"]["agents"][:2]:
        each["selfAwareness"] = {"mode": "prompted"}
    built["spec"]["agents"][0]["autoscaling"] = {"autoscaler": "external"}
    scene = Scene(built)
    await scene.run()
    scene.serve("small", "medium", "large")
    await scene.settle()
    for pods in (0, 1):
        scaled(scene, "small", pods)
        await scene.run()
        assert scene.table().entrypoint == "medium"
        assert scene.condition("Ready")["status"] == "True"
    scene.serve("small")
    await scene.settle()
    assert scene.table().entrypoint == "small"
