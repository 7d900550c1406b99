"""Roll-back: an earlier run is served because the manifest says so, and nothing is promoted over it."""

from __future__ import annotations

from typing import Any

import pytest

from disrouter import names
from disrouter.artifacts import Stage, served_subpath
from disrouter_operator.kube.resources import CASCADES, INFERENCE_SERVICES, JOBS
from support import clusters
from support.scenes import Scene


def edit(scene: Scene, seed: int | None = None, **agent: Any) -> None:
    manifest = scene.kube.one(CASCADES, "qwen")
    if seed is not None:
        manifest["spec"]["training"]["seed"] = seed
    for name, value in agent.items():
        if value is None:
            manifest["spec"]["agents"][0].pop(name, None)
        else:
            manifest["spec"]["agents"][0][name] = value
    scene.kube.put(manifest)


async def two_runs() -> tuple[Scene, str, str]:
    """A scene in which agent small serves its second promoted run."""
    scene, runs = Scene(clusters.example()), []
    for number in (1, 2):
        edit(scene, seed=number)
        await scene.train("small", 0.1)
        scene.serve("small", "medium", "large")
        await scene.run(2)
        runs.append(scene.agent("small")["servedRun"])
    return scene, runs[0], runs[1]


def subpath(scene: Scene) -> str | None:
    (engine, _) = scene.kube.one(INFERENCE_SERVICES, "qwen-small")["spec"]["predictor"]["containers"]
    return next((mount.get("subPath") for mount in engine.get("volumeMounts") or []), None)


async def test_history_tells_what_was_promoted_when_and_by_how_much() -> None:
    scene, first, second = await two_runs()
    history = scene.agent("small")["history"]
    assert [each["run"] for each in history] == [second, first]
    assert history[0]["promotedAt"] == "2026-01-01T00:00:00Z"
    assert history[0]["utilityGain"] == pytest.approx(0.1)


async def test_a_revision_serves_an_earlier_run_and_training_rests() -> None:
    scene, first, _ = await two_runs()
    edit(scene, seed=3)
    await scene.run()
    running = [job["metadata"]["name"] for job in scene.jobs("small") if "status" not in job]
    assert running
    edit(scene, revision=first)
    await scene.run()
    assert subpath(scene) == served_subpath("qwen", "small", first)
    assert not set(running) & set(scene.kube.names(JOBS))
    scene.serve("small")
    await scene.run()
    small = scene.agent("small")
    assert (small["phase"], small["reason"], small["servedRun"]) == ("Ready", "RolledBack", first)
    assert scene.condition("TrainingComplete")["status"] == "False", "agent medium still trains"
    assert scene.status["training"] == "0/1"
    assert scene.reasons().count("RolledBack") == 1
    scene.kube.writes.clear()
    await scene.run(2)
    assert scene.kube.writes == []


async def test_a_released_agent_returns_to_the_run_that_is_known_to_be_better() -> None:
    scene, first, second = await two_runs()
    edit(scene, revision=first)
    await scene.run(2)
    jobs = scene.kube.names(JOBS)
    edit(scene, revision=None)
    await scene.run()
    small = scene.agent("small")
    assert (small["servedRun"], small["run"]) == (second, second)
    assert scene.kube.names(JOBS) == jobs, "it was compared with just that run before"


async def test_a_released_agent_is_compared_with_what_is_served_before_it_is_promoted_again() -> None:
    scene, first, _ = await two_runs()
    edit(scene, seed=3)
    await scene.train("small", 0.1)
    third = scene.agent("small")["run"]
    edit(scene, revision=first)
    await scene.run(2)
    edit(scene, revision=None)
    await scene.run(2)
    small = scene.agent("small")
    assert (small["phase"], small["servedRun"], small["run"]) == ("Evaluating", first, third)
    wanted = {names.LABEL_SERVING: first, names.LABEL_RUN: third}
    (evaluate,) = [job for job in scene.jobs("small") if wanted.items() <= job["metadata"]["labels"].items()]
    assert f"--serving=/mnt/artifacts/{served_subpath('qwen', 'small', first)}" in scene.arguments(evaluate)
    scene.end_job("small", Stage.EVALUATE, clusters.complete(), clusters.evaluation(third, -0.5))
    await scene.run()
    assert scene.agent("small")["phase"] == "PromotingFailed"
    assert f"over run {first}" in scene.agent("small")["message"]
    assert scene.agent("small")["servedRun"] == first


async def test_the_base_model_is_a_revision_too() -> None:
    scene, _, second = await two_runs()
    edit(scene, revision="base")
    await scene.run()
    assert "servedRun" not in scene.agent("small")
    assert subpath(scene) is None
    assert scene.table().agents["small"].awareness == "prompted"
    edit(scene, revision=None)
    await scene.run()
    assert scene.agent("small")["run"] == second
    assert scene.agent("small")["phase"] == "Evaluating"


async def test_an_unknown_revision_is_refused_with_the_choice_and_serving_goes_on() -> None:
    scene, first, second = await two_runs()
    before = scene.kube.one(INFERENCE_SERVICES, "qwen-small")
    edit(scene, revision="deadbeef00")
    await scene.run()
    small = scene.agent("small")
    assert (small["phase"], small["reason"]) == ("PromotingFailed", "UnknownRevision")
    assert all(choice in small["message"] for choice in (first, second, "base"))
    assert scene.kube.one(INFERENCE_SERVICES, "qwen-small") == before
    assert small["servedRun"] == second
