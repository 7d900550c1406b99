"""What others read in the status: kstatus' words, and changes only where the truth changed."""

from __future__ import annotations

import random
from typing import Any

from disrouter_operator.errors import Rejected
from disrouter_operator.kube.resources import CASCADES
from support import clusters
from support.gitops import kstatus
from support.scenes import Scene


def _judged(scene: Scene) -> str:
    return kstatus(scene.kube.one(CASCADES, "qwen"))


async def test_kstatus_follows_a_cascade_through_its_life() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    assert _judged(scene) == "InProgress"
    scene.serve("small", "medium", "large")
    await scene.run()
    assert _judged(scene) == "Current", "it serves; that training goes on for hours is no reason to wait"
    scene.kube.put(clusters.example(drainSeconds=9))
    assert _judged(scene) == "InProgress", "the generation is ahead of what was observed"
    await scene.run()
    assert _judged(scene) == "Current"
    broken = clusters.example()
    broken["spec"]["agents"].reverse()
    scene.kube.put(broken)
    await scene.run()
    assert _judged(scene) == "Failed"
    scene.kube.put(clusters.example())
    await scene.run()
    assert _judged(scene) == "Current"


async def test_what_waiting_does_not_cure_is_stalled() -> None:
    scene = Scene(clusters.example())
    scene.kube.refuse = lambda _: Rejected("denied the request: GPU quota", 403)
    await scene.run()
    assert _judged(scene) == "Failed"
    assert scene.condition("Stalled")["reason"] == "ChildRefused"
    assert "GPU quota" in scene.condition("Stalled")["message"]
    assert scene.condition("Reconciling")["status"] == "False"


async def test_a_pod_that_is_unready_for_a_moment_moves_the_conditions_no_more_than_the_truth_moves() -> None:
    """Each turn of an agent turns a condition at most once, and reconciles that see nothing new write nothing."""
    draw, scene = random.Random(7), Scene(clusters.example())
    await scene.run()
    scene.serve("small", "medium", "large")
    await scene.run()
    turns, ready = 0, True
    moved: dict[str, int] = {}
    for _ in range(30):
        now_ready = draw.random() < 0.5
        turns, ready = turns + (now_ready != ready), now_ready
        if ready:
            scene.serve("small")
        else:
            scene.fall_silent("small")
        before = _statuses(scene)
        await scene.run()
        for type_, status in _statuses(scene).items():
            moved[type_] = moved.get(type_, 0) + (before[type_] != status)
        scene.kube.writes.clear()
        await scene.run(3)
        assert scene.kube.writes == []
    assert turns > 5
    assert max(moved.values()) <= turns, moved


def _statuses(scene: Scene) -> dict[Any, Any]:
    return {each["type"]: each["status"] for each in scene.status["conditions"]}
