"""Where requests enter while agents come and go: away at once, back with patience."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from disrouter import names
from disrouter_operator.kube.resources import DEPLOYMENTS, ENDPOINT_SLICES, INFERENCE_SERVICES, PODS, SERVICES, Object
from disrouter_operator.plan import entrypoint
from disrouter_operator.plan.entrypoint import Entrypoint
from disrouter_operator.reconcile.reconciler import Memory
from support import clusters
from support.scenes import Scene, serving

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ROUTE = ["small", "medium", "large"]
LONG = NOW - timedelta(hours=1)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def test_the_entry_stays_while_its_agent_serves_however_short() -> None:
    assert entrypoint.choose(ROUTE, {"small": ago(0), "large": LONG}, "small", NOW) == Entrypoint("small")


def test_the_entry_leaves_at_once_for_the_cheapest_that_has_served_for_long() -> None:
    serving = {"small": ago(2), "large": LONG}
    assert entrypoint.choose(ROUTE, serving, "medium", NOW) == Entrypoint("large", "small", 4.0)


def test_an_agent_that_has_just_come_is_better_than_none() -> None:
    assert entrypoint.choose(ROUTE, {"medium": ago(0)}, "small", NOW).agent == "medium"
    assert entrypoint.choose(ROUTE, {}, "large", NOW) == Entrypoint("small")


def test_the_entry_returns_after_five_whole_seconds() -> None:
    for seconds, agent in ((5.9, "large"), (6.0, "small")):
        assert entrypoint.choose(ROUTE, {"small": ago(seconds), "large": LONG}, "large", NOW).agent == agent


def test_an_age_that_nobody_knows_is_looked_at_again() -> None:
    found = entrypoint.choose(ROUTE, {"small": None, "large": LONG}, "large", NOW)
    assert found == Entrypoint("large", "small", entrypoint.SETTLED_SECONDS)


def test_a_node_whose_clock_is_ahead_does_not_hold_up_the_entry() -> None:
    serving = {"small": NOW + timedelta(hours=1), "large": LONG}
    assert entrypoint.choose(ROUTE, serving, "large", NOW).agent == "small"


def entry(scene: Scene) -> str:
    return str(scene.kube.one(SERVICES, "qwen")["spec"]["selector"][names.LABEL_AGENT])


async def test_one_ready_pod_of_two_keeps_the_entry() -> None:
    """KServe calls the InferenceService unready meanwhile: its Deployment is not Available."""
    scene = await serving(clusters.example(), "small", "medium", "large")
    scene.kube.set_status(INFERENCE_SERVICES, "qwen-small", clusters.ready_status(ready="False"))
    half = clusters.rolled_out(9, 2) | {"availableReplicas": 1, "readyReplicas": 1}
    scene.kube.set_status(DEPLOYMENTS, "qwen-small-predictor", half)
    await scene.run()
    assert entry(scene) == "small"
    assert scene.agent("small")["ready"]
    assert scene.condition("Ready")["status"] == "True"


async def test_a_pod_that_ends_is_no_ready_endpoint() -> None:
    scene = await serving(clusters.example(), "small", "medium", "large")
    unready(scene, "qwen-small-predictor-x1")
    await scene.run()
    assert entry(scene) == "medium"
    assert not scene.agent("small")["ready"]


def unready(scene: Scene, name: str) -> None:
    """Its endpoint takes no more requests, though the pod lives on."""
    piece: Object = scene.kube.one(ENDPOINT_SLICES, name)
    ends = {"ready": False, "serving": True, "terminating": True}
    scene.kube.put({**piece, "endpoints": [{**each, "conditions": ends} for each in piece["endpoints"]]})


async def test_the_entry_returns_on_time_by_an_operator_that_has_just_started() -> None:
    scene = await serving(clusters.example(), "medium", "large")
    assert entry(scene) == "medium"
    scene.serve("small")
    requeue = await scene.run()
    assert entry(scene) == "medium"
    assert scene.condition("Ready")["reason"] == "EntrypointReturning"
    assert scene.condition("Reconciling")["status"] == "True"
    assert scene.condition("EndpointReady")["status"] == "True"
    assert requeue is not None
    assert requeue.after <= 6
    scene.now += timedelta(seconds=3)
    scene.memory = Memory()
    again = await scene.run()
    assert entry(scene) == "medium"
    assert again is not None
    assert again.after <= 3
    scene.now += timedelta(seconds=again.after)
    await scene.run()
    assert entry(scene) == "small"
    assert scene.condition("Ready")["status"] == "True"


async def test_a_break_of_readiness_begins_the_wait_anew() -> None:
    scene = await serving(clusters.example(), "medium", "large")
    scene.serve("small")
    scene.now += timedelta(seconds=5)
    scene.fall_silent("small")
    await scene.run()
    scene.serve("small")
    scene.now += timedelta(seconds=5)
    await scene.run()
    assert entry(scene) == "medium"
    assert len([name for name in scene.kube.names(PODS) if "small" in name]) == 1
