"""How a reconcile takes agents through training, the gate and promotion."""

from __future__ import annotations

from datetime import timedelta

from disrouter import names
from disrouter.api import Phase
from disrouter.artifacts import Stage, served_subpath
from disrouter_operator.kube.resources import CASCADES, CONFIG_MAPS, INFERENCE_SERVICES, JOBS
from disrouter_operator.reconcile.reconciler import Requeue
from support import clusters
from support.scenes import Scene


async def test_stages_follow_each_other_and_the_gate_promotes() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    scene.serve("small", "medium", "large")
    phases = []
    for stage in Stage:
        await scene.run()
        phases.append(scene.agent("small")["phase"])
        message = clusters.evaluation(scene.agent("small")["run"], 0.1) if stage is Stage.EVALUATE else ""
        scene.end_job("small", stage, clusters.complete(), message)
    assert phases == ["Collecting", "SFT", "RL", "Evaluating"]
    await scene.run()
    small = scene.agent("small")
    assert (small["phase"], small["servedRun"], small["awareness"]) == ("Promoting", small["run"], "prompted")
    assert small["evaluation"]["questions"] == 200
    assert scene.table().agents["small"].awareness == "prompted"
    scene.serve("small")
    await scene.run()
    assert scene.agent("small")["phase"] == Phase.READY
    assert scene.table().agents["small"].awareness == "trained"
    assert scene.status["training"] == "1/2"
    assert scene.agent("medium")["phase"] == "Collecting"
    assert "Promoted" in scene.reasons()


async def test_a_refusing_gate_keeps_what_is_served_and_says_the_numbers() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    before = scene.kube.one(INFERENCE_SERVICES, "qwen-small")
    await scene.train("small", -0.02)
    small = scene.agent("small")
    assert small["phase"] == "PromotingFailed"
    assert "-0.0200" in small["message"]
    assert "minUtilityGain" in small["message"]
    assert scene.kube.one(INFERENCE_SERVICES, "qwen-small")["spec"] == before["spec"]
    assert scene.condition("TrainingComplete")["reason"] == "TrainingFailed"
    assert scene.condition("Degraded")["status"] == "True"
    assert "PromotingFailed" in scene.reasons()


async def test_a_failed_stage_shows_what_the_trainer_said() -> None:
    scene = Scene(clusters.trained(retries=0))
    await scene.run()
    said = "dataset openai/gsm8k has no column 'question'"
    job = scene.end_job("small", Stage.COLLECT, clusters.failed(), said, exit_code=1)
    await scene.run()
    small = scene.agent("small")
    assert small["phase"] == "CollectingFailed"
    assert small["reason"] == "BackoffLimitExceeded"
    assert said in small["message"]
    assert f"delete Job/{job['metadata']['name']}" in small["message"]
    await scene.kube.delete(JOBS, "default", job["metadata"]["name"])
    await scene.run()
    assert scene.agent("small")["phase"] == "Collecting"
    assert job["metadata"]["name"] in scene.kube.names(JOBS)


async def test_new_inputs_replace_the_jobs_of_that_agent_alone_and_the_served_run_stays() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    scene.serve("small", "medium", "large")
    await scene.train("small", 0.1)
    scene.serve("small")
    await scene.run()
    old, kept = scene.agent("small")["run"], [job["metadata"]["name"] for job in scene.jobs("small")]
    others = [name for name in scene.kube.names(JOBS) if "medium" in name]
    manifest = clusters.example()
    manifest["spec"]["agents"][0]["model"]["uri"] = "hf://Qwen/Qwen3-0.6B"
    scene.kube.put(manifest)
    await scene.run()
    small = scene.agent("small")
    assert small["run"] != old
    assert small["servedRun"] == old
    assert scene.table().agents["small"].awareness == "trained"
    assert [name for name in scene.kube.names(JOBS) if old in name] == sorted(kept), "the logs of what is served"
    assert [name for name in scene.kube.names(JOBS) if "medium" in name] == others
    manifest["spec"]["training"]["seed"] = 7
    scene.kube.put(manifest)
    await scene.run()
    objects = scene.kube.names(JOBS) + scene.kube.names(CONFIG_MAPS)
    assert not [name for name in objects if small["run"] in name], "of a run that was never promoted"
    await scene.train("small", 0.1)
    assert scene.agent("small")["servedRun"] == scene.agent("small")["run"] not in (old, small["run"])


async def test_a_lost_evaluation_is_made_again() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    for stage in Stage:
        await scene.run()
        scene.end_job("small", stage, clusters.complete())
    assert await scene.run() == Requeue(60.0)
    assert "is lost with its pod" in scene.agent("small")["message"]
    scene.now += timedelta(minutes=1)
    await scene.run()
    assert not [name for name in scene.kube.names(JOBS) if "small-evaluate" in name]
    await scene.run()
    assert [name for name in scene.kube.names(JOBS) if "small-evaluate" in name]


async def test_a_held_agent_costs_no_gpu_until_it_is_trained() -> None:
    manifest = clusters.example()
    manifest["spec"]["agents"][0]["selfAwareness"]["untrained"] = "hold"
    scene = Scene(manifest)
    await scene.run()
    assert scene.kube.names(INFERENCE_SERVICES) == ["qwen-medium"]
    assert scene.table().path() == ["medium", "large"]
    scene.serve("medium", "large")
    await scene.run()
    assert scene.condition("Ready")["status"] == "True"
    await scene.train("small", 0.1)
    assert "qwen-small" in scene.kube.names(INFERENCE_SERVICES)
    assert scene.table().agents["small"].awareness == "trained"


async def test_a_result_that_is_no_evaluation_is_a_failure_with_a_remedy() -> None:
    scene = Scene(clusters.trained(retries=0))
    for stage in Stage:
        await scene.run()
        scene.end_job("small", stage, clusters.complete(), "{}" if stage is Stage.EVALUATE else "")
    await scene.run()
    assert scene.agent("small")["phase"] == "EvaluatingFailed"
    assert "to try again" in scene.agent("small")["message"]


async def test_promotion_changes_the_pods_of_that_agent_alone() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    scene.kube.writes.clear()
    await scene.train("small", 0.1)
    applied = [name for verb, kind, name in scene.kube.writes if (verb, kind) == ("apply", "InferenceService")]
    assert applied == ["qwen-small"]


async def test_a_lost_status_is_derived_again_from_what_is_mounted() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    await scene.train("small", 0.1)
    scene.serve("small", "medium", "large")
    await scene.run()
    before = scene.agent("small")
    scene.kube.set_status(CASCADES, "qwen", {})
    for job in scene.kube.names(JOBS):
        await scene.kube.delete(JOBS, "default", job)
    await scene.run()
    after = scene.agent("small")
    assert {k: after[k] for k in ("phase", "servedRun", "awareness")} == {
        k: before[k] for k in ("phase", "servedRun", "awareness")
    }


async def test_a_new_run_is_compared_with_the_run_that_is_served() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    await scene.train("small", 0.1)
    served = scene.agent("small")["servedRun"]
    first = next(job for job in scene.jobs("small") if "evaluate" in job["metadata"]["name"])
    assert not [argument for argument in scene.arguments(first) if argument.startswith("--serving")]
    manifest = clusters.example()
    manifest["spec"]["training"]["seed"] = 7
    scene.kube.put(manifest)
    await scene.train("small", -0.1)
    run = scene.agent("small")["run"]
    jobs = [job for job in scene.jobs("small") if job["metadata"]["labels"][names.LABEL_RUN] == run]
    arguments = {job["metadata"]["labels"][names.LABEL_STAGE]: scene.arguments(job) for job in jobs}
    assert f"--serving=/mnt/artifacts/{served_subpath('qwen', 'small', served)}" in arguments["evaluate"]
    assert not [
        argument for stage in ("collect", "sft", "rl") for argument in arguments[stage] if "serving" in argument
    ]
    assert scene.agent("small")["servedRun"] == served
