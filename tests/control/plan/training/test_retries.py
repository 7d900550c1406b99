"""A failed Job is made anew after waits that double; what is complete is never repeated; training can be suspended."""

from __future__ import annotations

from datetime import timedelta

import pytest

from disrouter import names
from disrouter.artifacts import Stage
from disrouter_operator.kube.resources import CASCADES, JOBS, Object
from disrouter_operator.reconcile.reconciler import Requeue
from support import clusters
from support.scenes import Scene


def job_names(scene: Scene, agent: str = "small") -> list[str]:
    return sorted(job["metadata"]["name"] for job in scene.jobs(agent))


def suspend(scene: Scene, value: bool) -> None:
    manifest = scene.kube.one(CASCADES, "qwen")
    manifest["spec"]["training"]["suspend"] = value
    scene.kube.put(manifest)


def fail(scene: Scene, said: str = "out of memory") -> Object:
    return scene.end_job("small", Stage.COLLECT, clusters.failed(), said, exit_code=1)


async def test_a_failed_job_is_kept_for_its_log_and_made_anew_after_1_2_4_minutes() -> None:
    scene = Scene(clusters.trained(retries=3))
    await scene.run()
    for attempt, minutes in enumerate((1, 2, 4), start=1):
        job = fail(scene)
        assert await scene.run() == Requeue(60.0 * minutes)
        small = scene.agent("small")
        assert (small["phase"], small["reason"], small["attempts"]) == ("Collecting", "RetryWaits", attempt)
        assert "out of memory" in small["message"]
        assert f"again at {small['retryAt']}" in small["message"]
        scene.now += timedelta(minutes=minutes, seconds=-1)
        scene.kube.writes.clear()
        assert await scene.run() == Requeue(1.0)
        assert scene.kube.writes == [], "waiting writes nothing"
        scene.now += timedelta(seconds=1)
        await scene.run(2)
        assert [each["metadata"]["uid"] for each in scene.jobs("small")] != [job["metadata"]["uid"]]
        assert "retryAt" not in scene.agent("small")
        assert scene.agent("small")["attempts"] == attempt
    fail(scene)
    assert await scene.run() is None
    assert (scene.agent("small")["phase"], scene.agent("small")["attempts"]) == ("CollectingFailed", 4)
    assert scene.reasons().count("AttemptFailed") == 3
    assert scene.reasons().count("CollectingFailed") == 1


@pytest.mark.parametrize(
    ("stage", "phase"),
    [
        (Stage.COLLECT, "CollectingFailed"),
        (Stage.SFT, "SFTFailed"),
        (Stage.RL, "RLFailed"),
        (Stage.EVALUATE, "EvaluatingFailed"),
    ],
)
async def test_each_stage_that_is_given_up_has_its_phase_its_event_and_what_to_do(stage: Stage, phase: str) -> None:
    scene = Scene(clusters.trained(retries=0))
    await scene.run()
    scene.serve("small", "medium", "large")
    for each in list(Stage)[: list(Stage).index(stage)]:
        scene.end_job("small", each, clusters.complete())
        await scene.run()
    job = scene.end_job("small", stage, clusters.failed(), "out of memory", exit_code=1)
    await scene.run()
    small = scene.agent("small")
    assert (small["phase"], small["reason"], small["ready"]) == (phase, "BackoffLimitExceeded", True)
    assert "out of memory" in small["message"]
    assert f"delete Job/{job['metadata']['name']} to try again" in small["message"]
    assert scene.reasons().count(phase) == 1
    assert scene.condition("Ready")["status"] == "True", "it serves as before"
    assert scene.condition("Degraded")["reason"] == phase


async def test_a_stage_that_ends_well_after_a_failure_forgets_it() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    fail(scene)
    await scene.run()
    scene.now += timedelta(minutes=1)
    await scene.run(2)
    scene.end_job("small", Stage.COLLECT, clusters.complete())
    await scene.run()
    assert scene.agent("small")["phase"] == "SFT"
    assert "attempts" not in scene.agent("small")


async def test_a_given_up_stage_goes_on_when_its_job_is_deleted_or_more_retries_are_allowed() -> None:
    scene = Scene(clusters.trained(retries=0))
    await scene.run()
    job = fail(scene)
    await scene.run()
    assert scene.agent("small")["phase"] == "CollectingFailed"
    await scene.kube.delete(JOBS, "default", job["metadata"]["name"])
    await scene.run()
    assert (scene.agent("small")["phase"], "attempts" in scene.agent("small")) == ("Collecting", False)
    fail(scene)
    await scene.run()
    scene.kube.put(clusters.trained(retries=1))
    await scene.run()
    assert scene.agent("small")["reason"] == "RetryWaits"


async def test_a_finished_stage_whose_job_is_gone_is_not_made_again() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    done = scene.end_job("small", Stage.COLLECT, clusters.complete())
    await scene.run()
    await scene.kube.delete(JOBS, "default", done["metadata"]["name"])
    await scene.run(2)
    assert done["metadata"]["name"] not in scene.kube.names(JOBS)
    assert scene.agent("small")["phase"] == "SFT"


async def test_suspended_training_gives_up_its_pods_and_goes_on_at_its_stage() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    scene.end_job("small", Stage.COLLECT, clusters.complete())
    await scene.run()
    collect, sft = job_names(scene)
    suspend(scene, True)
    await scene.run()
    assert job_names(scene) == [collect], "what is finished keeps its log"
    small = scene.agent("small")
    assert (small["phase"], small["reason"]) == ("SFT", "Suspended")
    await scene.run()
    assert scene.condition("TrainingComplete")["reason"] == "Suspended"
    scene.kube.writes.clear()
    await scene.run(2)
    assert scene.kube.writes == []
    suspend(scene, False)
    await scene.run()
    assert job_names(scene) == [collect, sft]
    assert scene.agent("small")["reason"] == "Running"
    assert [reason for reason in scene.reasons() if reason in ("Suspended", "Resumed")].count("Suspended") == 2


async def test_a_job_in_a_queue_says_so() -> None:
    scene = Scene(clusters.trained(queueName="gpus"))
    await scene.run()
    (job,) = scene.jobs("small")
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    assert job["spec"]["suspend"] is True
    await scene.run()
    assert scene.agent("small")["reason"] == "Queued"
    admitted = scene.kube.one(JOBS, job["metadata"]["name"])
    admitted["spec"]["suspend"] = False
    scene.kube.put(admitted)
    await scene.run()
    assert scene.agent("small")["reason"] == "Running"


async def test_old_jobs_go_by_ttl_and_runs_by_history() -> None:
    scene = Scene(clusters.trained(ttlSecondsAfterFinished=3600, historyLimit=2))
    runs = []
    for number in range(3):
        manifest = clusters.trained(ttlSecondsAfterFinished=3600, historyLimit=2)
        manifest["spec"]["training"]["seed"] = number
        scene.kube.put(manifest)
        await scene.train("small", 0.1)
        runs.append(scene.agent("small")["servedRun"])
        scene.serve("small")
        await scene.run()
    assert [each["run"] for each in scene.agent("small")["history"]] == [runs[2], runs[1]]
    kept = {job["metadata"]["labels"][names.LABEL_RUN] for job in scene.jobs("small")}
    assert kept == {runs[1], runs[2]}
    scene.now += timedelta(hours=1)
    await scene.run(2)
    assert scene.jobs("small") == []
    assert scene.agent("small")["phase"] == "Ready"
