"""Where requests enter while agents come and go: away at once, back with patience."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from disrouter import names
from disrouter_operator.kube.resources import (
    CASCADES,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    INFERENCE_SERVICES,
    PODS,
    SERVICES,
    Object,
)
from disrouter_operator.plan import entrypoint
from disrouter_operator.plan.entrypoint import Entrypoint
from disrouter_operator.reconcile.reconciler import Memory
from support import clusters
from support.scenes import KEY, Scene, serving

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


def test_what_pods_say_goes_before_what_was_seen() -> None:
    assert entrypoint.since(LONG, ago(2), NOW) == LONG
    assert entrypoint.since(None, ago(2), NOW) == ago(2)
    assert entrypoint.since(None, None, NOW) == NOW


def test_of_a_moment_to_come_nothing_is_learned() -> None:
    for ahead in (0.5, 3600):
        assert entrypoint.since(ago(-ahead), ago(2), NOW) == ago(2)
        assert entrypoint.since(ago(-ahead), None, NOW) == NOW
    assert entrypoint.since(None, ago(-3600), NOW) == NOW


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


async def returns_after_a_wait(scene: Scene) -> None:
    """The entry is back within the patience, and not before it has passed."""
    again = await scene.run()
    assert entry(scene) == "medium"
    assert again is not None
    assert again.after == entrypoint.SETTLED_SECONDS + entrypoint.RESOLUTION
    scene.now += timedelta(seconds=again.after - 1)
    await scene.run()
    assert entry(scene) == "medium"
    scene.now += timedelta(seconds=1)
    await scene.run()
    assert entry(scene) == "small"


def forget_since(scene: Scene, **condition: str) -> None:
    """What the pod of `small` says of its readiness; nothing at all where it says no moment."""
    pod = scene.kube.one(PODS, "qwen-small-predictor-x1")
    ready = {"type": "Ready", "status": "True", **condition}
    scene.kube.set_status(PODS, "qwen-small-predictor-x1", {**pod["status"], "conditions": [ready]})


@pytest.mark.parametrize("condition", [{}, {"lastTransitionTime": "2026-01-01T01:00:00Z"}], ids=["silent", "ahead"])
async def test_where_pods_do_not_say_since_when_the_entry_returns_after_it_was_seen(condition: Any) -> None:
    scene = await serving(clusters.example(), "medium", "large")
    scene.serve("small")
    forget_since(scene, **condition)
    await returns_after_a_wait(scene)


async def test_a_break_that_a_reconcile_saw_begins_the_wait_anew_where_pods_are_silent() -> None:
    scene = await serving(clusters.example(), "medium", "large")
    scene.serve("small")
    forget_since(scene)
    await scene.run()
    scene.now += timedelta(seconds=5)
    scene.fall_silent("small")
    await scene.run()
    scene.serve("small")
    forget_since(scene)
    await returns_after_a_wait(scene)


async def test_a_cascade_made_anew_has_not_been_seen_before() -> None:
    scene = await serving(clusters.example(), "small", "medium", "large")
    assert scene.memory.serving.of(KEY)
    del scene.kube.objects[CASCADES, "default", "qwen"]
    await scene.run()
    assert not scene.memory.serving.of(KEY)
