"""Decisions of a pass, scene by scene, over an API server in memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from disrouter import names
from disrouter.api import Phase
from disrouter.artifacts import Stage
from disrouter.routes import RouteTable
from disrouter_operator.errors import Rejected
from disrouter_operator.reconcile import Key, Requeue, reconcile
from disrouter_operator.resources import (
    CASCADES,
    CONFIG_MAPS,
    DEPLOYMENTS,
    EVENTS,
    INFERENCE_SERVICES,
    JOBS,
    PODS,
    SERVICES,
    Object,
    resource_of,
)
from disrouter_operator.settings import Settings
from support import clusters
from support.kube_fake import KubeFake

KEY = Key("default", "qwen")
SETTINGS = Settings(sidecar_image="sidecar:test", training_image="trainer:test")


class Scene:
    """A cascade in a small world whose clock and controllers the test plays."""

    def __init__(self, manifest: Object) -> None:
        self.kube = KubeFake()
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.kube.put(manifest)

    async def run(self, passes: int = 1) -> Requeue | None:
        requeue = None
        for _ in range(passes):
            requeue = await reconcile(self.kube, KEY, SETTINGS, lambda: self.now)
        return requeue

    @property
    def status(self) -> Any:
        return self.kube.one(CASCADES, "qwen")["status"]

    def agent(self, name: str) -> Any:
        return next(agent for agent in self.status["agents"] if agent["name"] == name)

    def condition(self, type_: str) -> Any:
        return next(each for each in self.status["conditions"] if each["type"] == type_)

    def table(self) -> RouteTable:
        return RouteTable.from_json(self.kube.one(CONFIG_MAPS, "qwen-routes")["data"]["routes.json"])

    def reasons(self) -> list[str]:
        return [obj["reason"] for (kind, _, _), obj in self.kube.objects.items() if kind == EVENTS]

    def serve(self, *agents: str) -> None:
        """KServe brings the agents up with what they ask for now."""
        for agent in agents:
            name = f"qwen-{agent}"
            if name not in self.kube.names(INFERENCE_SERVICES):
                self.kube.set_status(DEPLOYMENTS, name, clusters.rolled_out(9))
                continue
            isvc = self.kube.one(INFERENCE_SERVICES, name)
            self.kube.put(clusters.predictor_deployment(isvc))
            self.kube.set_status(DEPLOYMENTS, names.predictor(name), clusters.rolled_out(9))
            self.kube.set_status(INFERENCE_SERVICES, name, clusters.ready_status())

    def end_job(self, agent: str, stage: Stage, status: Object, message: str = "", exit_code: int = 0) -> Object:
        """The stage's Job of an agent ends, its pod leaving a message."""
        (job,) = [
            obj
            for (kind, _, _), obj in self.kube.objects.items()
            if kind == JOBS
            and obj["metadata"]["labels"][names.LABEL_AGENT] == agent
            and obj["metadata"]["labels"][names.LABEL_STAGE] == stage
        ]
        self.kube.set_status(JOBS, job["metadata"]["name"], status)
        self.kube.put(clusters.pod_of(job, message, exit_code))
        return job

    async def train(self, agent: str, gain: float) -> None:
        """All four stages of an agent's run."""
        for stage in Stage:
            await self.run()
            run = self.agent(agent)["run"]
            message = clusters.evaluation(run, gain) if stage is Stage.EVALUATE else ""
            self.end_job(agent, stage, clusters.complete(), message)
        await self.run()


async def test_a_first_pass_creates_everything_and_a_second_writes_nothing() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    assert scene.kube.names(INFERENCE_SERVICES) == ["qwen-medium", "qwen-small"]
    assert scene.kube.names(DEPLOYMENTS) == ["qwen-large"]
    assert scene.kube.names(SERVICES) == ["qwen", "qwen-large"]
    assert len(scene.kube.names(JOBS)) == 2
    scene.kube.writes.clear()
    await scene.run(2)
    assert scene.kube.writes == []


async def test_the_entry_is_the_first_agent_that_serves() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    scene.serve("medium", "large")
    await scene.run()
    assert scene.table().entry == "medium"
    assert scene.kube.one(SERVICES, "qwen")["spec"]["selector"][names.LABEL_AGENT] == "medium"
    assert scene.condition("EndpointReady")["status"] == "True"
    assert scene.condition("Ready") | {"lastTransitionTime": ""} == scene.condition("AgentsReady") | {
        "type": "Ready",
        "lastTransitionTime": "",
    }
    scene.serve("small")
    await scene.run()
    assert scene.table().entry == "small"
    assert scene.condition("Ready")["status"] == "True"
    assert scene.status["agentsReady"] == "3/3"
    assert "Ready" in scene.reasons()


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
    scene = Scene(clusters.example())
    await scene.run()
    said = "dataset openai/gsm8k has no column 'question'"
    job = scene.end_job("small", Stage.COLLECT, clusters.failed(), said, exit_code=1)
    await scene.run()
    small = scene.agent("small")
    assert small["phase"] == "CollectingFailed"
    assert small["reason"] == "BackoffLimitExceeded"
    assert said in small["message"]
    assert f"delete Job {job['metadata']['name']}" in small["message"]
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
    old = scene.agent("small")["run"]
    others = [name for name in scene.kube.names(JOBS) if "medium" in name]
    manifest = clusters.example()
    manifest["spec"]["agents"][0]["model"]["uri"] = "hf://Qwen/Qwen3-0.6B"
    scene.kube.put(manifest)
    await scene.run()
    small = scene.agent("small")
    assert small["run"] != old
    assert small["servedRun"] == old
    assert scene.table().agents["small"].awareness == "trained"
    assert not [name for name in scene.kube.names(JOBS) + scene.kube.names(CONFIG_MAPS) if old in name]
    assert [name for name in scene.kube.names(JOBS) if "medium" in name] == others
    await scene.train("small", 0.1)
    assert scene.agent("small")["servedRun"] == small["run"]


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


async def test_a_lost_evaluation_is_made_again() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    for stage in Stage:
        await scene.run()
        scene.end_job("small", stage, clusters.complete())
    await scene.run()
    assert scene.agent("small")["reason"] == "ResultLost"
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


async def test_a_removed_agent_leaves_the_route_drains_and_goes() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    scene.serve("small", "medium", "large")
    await scene.run()
    manifest = clusters.example()
    del manifest["spec"]["agents"][1]
    scene.kube.put(manifest)
    scene.kube.writes.clear()
    requeue = await scene.run()
    assert scene.kube.writes[0] == ("apply", "ConfigMap", "qwen-routes")
    assert scene.table().path() == ["small", "large"]
    assert scene.agent("medium")["phase"] == "Draining"
    assert scene.agent("medium")["drainingSince"] == "2026-01-01T00:00:00Z"
    assert "qwen-medium" in scene.kube.names(INFERENCE_SERVICES)
    assert not [name for name in scene.kube.names(JOBS) if "medium" in name]
    assert requeue == Requeue(90.0)
    scene.now += timedelta(seconds=89)
    assert await scene.run() == Requeue(1.0)
    scene.now += timedelta(seconds=1)
    await scene.run()
    assert "qwen-medium" not in scene.kube.names(INFERENCE_SERVICES)
    assert [agent["name"] for agent in scene.status["agents"]] == ["small", "large"]
    assert "Removed" in scene.reasons()


async def test_an_agent_that_comes_back_while_it_drains_stays() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    manifest = clusters.example()
    del manifest["spec"]["agents"][1]
    scene.kube.put(manifest)
    await scene.run()
    scene.kube.put(clusters.example())
    assert await scene.run() is None
    assert "drainingSince" not in scene.agent("medium")
    assert scene.table().path() == ["small", "medium", "large"]


async def test_adding_an_agent_writes_no_other_workload() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    manifest = clusters.example()
    manifest["spec"]["agents"].insert(1, {"name": "new", "model": {"uri": "hf://a/b"}, "cost": 0.2})
    scene.kube.put(manifest)
    scene.kube.writes.clear()
    await scene.run()
    workloads = [write for write in scene.kube.writes if write[1] in ("InferenceService", "Deployment", "Job")]
    assert [name for _, kind, name in workloads if kind != "Job"] == ["qwen-new"]
    assert all("new" in name for _, _, name in workloads)
    assert scene.table().path() == ["small", "new", "medium", "large"]


async def test_an_invalid_spec_changes_nothing_but_the_status() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    scene.serve("small", "medium", "large")
    await scene.run()
    before = scene.status["agents"]
    manifest = clusters.example()
    manifest["spec"]["agents"][1]["cost"] = 0.0
    scene.kube.put(manifest)
    scene.kube.writes.clear()
    await scene.run(2)
    kinds = [kind for verb, kind, _ in scene.kube.writes if verb != "create"]
    assert kinds == ["SelfRoutingCascade"]
    assert scene.condition("SpecValid")["status"] == "False"
    assert "order the agents by cost" in scene.condition("SpecValid")["message"]
    assert scene.status["agents"] == before
    scene.kube.put(clusters.example())
    await scene.run()
    assert scene.condition("SpecValid")["status"] == "True"
    assert scene.condition("Ready")["status"] == "True"


async def test_a_refused_child_stalls_no_other_and_is_shown() -> None:
    scene = Scene(clusters.example())
    scene.kube.refuse = lambda obj: (
        Rejected("denied the request: GPU quota", 403) if obj["metadata"]["name"] == "qwen-small" else None
    )
    requeue = await scene.run()
    assert requeue is not None
    assert scene.kube.names(INFERENCE_SERVICES) == ["qwen-medium"]
    assert scene.condition("Degraded")["reason"] == "ChildRefused"
    assert "InferenceService qwen-small: denied the request: GPU quota" in scene.condition("Ready")["message"]
    scene.kube.refuse = lambda _: None
    assert await scene.run() is None
    assert scene.condition("Degraded")["status"] == "False"


async def test_an_object_of_somebody_else_is_not_taken_over() -> None:
    scene = Scene(clusters.example())
    metadata = {"name": "qwen-small", "namespace": "default"}
    theirs = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": metadata, "spec": {}}
    scene.kube.put(theirs)
    await scene.run()
    assert scene.kube.one(INFERENCE_SERVICES, "qwen-small")["spec"] == {}
    assert "is not this cascade's" in scene.condition("Ready")["message"]


async def test_transition_times_move_only_with_the_condition() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    first = scene.condition("SpecValid")["lastTransitionTime"]
    scene.now += timedelta(hours=1)
    scene.serve("small", "medium", "large")
    await scene.run()
    assert scene.condition("SpecValid")["lastTransitionTime"] == first
    assert scene.condition("Ready")["lastTransitionTime"] == "2026-01-01T01:00:00Z"


async def test_a_model_that_kserve_cannot_load_is_shown_with_its_words() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    status = clusters.ready_status(ready="False")
    status["modelStatus"] = {
        "transitionStatus": "BlockedByFailedLoad",
        "lastFailureInfo": {"reason": "ModelLoadFailed", "message": "CUDA out of memory"},
    }
    scene.kube.set_status(INFERENCE_SERVICES, "qwen-small", status)
    await scene.run()
    small = scene.agent("small")
    assert (small["phase"], small["reason"]) == ("ServingFailed", "ModelLoadFailed")
    assert "CUDA out of memory" in small["message"]


@pytest.mark.parametrize("annotation", ['{"spec": {"scenarios": "balance"}}', "not json", "[]"])
async def test_a_field_that_the_api_server_dropped_is_not_silently_ignored(annotation: str) -> None:
    manifest = clusters.example()
    manifest["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": annotation}
    scene = Scene(manifest)
    await scene.run()
    condition = scene.condition("SpecValid")
    if "scenarios" in annotation:
        assert condition["status"] == "False"
        assert "spec.scenarios: unknown field, did you mean 'scenario'?" in condition["message"]
    else:
        assert condition["status"] == "True"


async def test_a_pod_that_cannot_start_is_named() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    isvc = scene.kube.one(INFERENCE_SERVICES, "qwen-small")
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "default", "labels": isvc["metadata"]["labels"]},
        "status": {"containerStatuses": [{"name": "kserve-container", "state": waiting}]},
    }
    assert resource_of(pod) == PODS
    scene.kube.put(pod)
    await scene.run()
    assert "no such image" in scene.condition("AgentsReady")["message"]
    assert "stage 1 of 4" in scene.agent("small")["message"]


async def test_a_model_that_moves_to_a_provider_keeps_serving_until_it_is_drained() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    manifest = clusters.example()
    medium = manifest["spec"]["agents"][1]
    del medium["model"], medium["selfAwareness"]
    medium["external"] = {"url": "https://api.example.com/v1", "model": "middle"}
    scene.kube.put(manifest)
    await scene.run()
    assert "qwen-medium" in scene.kube.names(INFERENCE_SERVICES)
    assert "qwen-medium" in scene.kube.names(DEPLOYMENTS)
    assert scene.table().agents["medium"].url == "http://qwen-medium.default.svc.cluster.local"
    assert scene.agent("medium")["drainingSince"]
    scene.now += timedelta(seconds=90)
    await scene.run()
    assert "qwen-medium" not in scene.kube.names(INFERENCE_SERVICES)
    assert "drainingSince" not in scene.agent("medium")


async def test_a_knative_agent_is_addressed_as_knative_does_and_ready_by_its_revision() -> None:
    scene = Scene(clusters.example(deploymentMode="Knative"))
    await scene.run()
    assert scene.table().agents["small"].url == "http://qwen-small.default.svc.cluster.local"
    status = clusters.ready_status("http://qwen-medium.default.svc.cluster.local/v1")
    for latest, phase in (("r2", "Promoting"), ("r1", "Ready")):
        if phase == "Promoting":
            await scene.train("medium", 0.1)
        status["components"] = {"predictor": {"latestCreatedRevision": latest, "latestReadyRevision": "r1"}}
        scene.kube.set_status(INFERENCE_SERVICES, "qwen-medium", status)
        await scene.run()
        assert scene.agent("medium")["phase"] == phase
    assert scene.agent("medium")["url"] == "http://qwen-medium.default.svc.cluster.local"


async def test_a_result_that_is_no_evaluation_is_a_failure_with_a_remedy() -> None:
    scene = Scene(clusters.example())
    for stage in Stage:
        await scene.run()
        scene.end_job("small", stage, clusters.complete(), "{}" if stage is Stage.EVALUATE else "")
    await scene.run()
    assert scene.agent("small")["phase"] == "EvaluatingFailed"
    assert "delete it to retry" in scene.agent("small")["message"]


async def test_a_cascade_that_is_gone_or_going_is_left_to_the_garbage_collector() -> None:
    scene = Scene(clusters.example())
    scene.kube.one(CASCADES, "qwen")["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert await scene.run() is None
    assert await reconcile(scene.kube, Key("default", "none"), SETTINGS, lambda: scene.now) is None
    assert scene.kube.writes == []


async def test_promotion_changes_the_pods_of_that_agent_alone() -> None:
    scene = Scene(clusters.example())
    await scene.run()
    scene.kube.writes.clear()
    await scene.train("small", 0.1)
    applied = [name for verb, kind, name in scene.kube.writes if (verb, kind) == ("apply", "InferenceService")]
    assert applied == ["qwen-small"]
