"""A training stage as Kubeflow's TrainJob: the same life as a Job's, told by Kubeflow's conditions and its pods."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from disrouter import names
from disrouter.artifacts import Stage
from disrouter_operator.errors import KubeError
from disrouter_operator.kube.resources import JOBS, PODS, SERVICES, TRAIN_JOBS, Object
from support import clusters, operators
from support.controlplane import ControlPlane
from support.scenarios import base
from support.scenes import Scene
from support.world import Strict, User, World, started

BY_KUBEFLOW: Object = {"backend": "TrainJob", "backoffLimit": 0, "retries": 1}


def _end(scene: Scene, stage: Stage, condition: str, said: str = "", code: int = 0) -> Object:
    """Kubeflow's controllers conclude a TrainJob, whose pod left `said`."""
    job = scene.kube.one(TRAIN_JOBS, names.training_job("qwen", "small", stage, scene.agent("small")["run"]))
    status = {"conditions": [{"type": condition, "status": "True", "reason": f"Jobs{condition}"}]}
    scene.kube.set_status(TRAIN_JOBS, job["metadata"]["name"], status)
    scene.kube.put(_pod(job, said, code))
    return job


def _pod(job: Object, said: str, code: int) -> Object:
    """As the runtime's JobSet makes it: with the labels that the TrainJob patches in."""
    (patch,) = job["spec"]["runtimePatches"]
    (replicated,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    labels = replicated["template"]["spec"]["template"]["metadata"]["labels"]
    ended = {"name": "node", "state": {"terminated": {"exitCode": code, "message": said}}}
    metadata = {"name": f"{job['metadata']['name']}-node-0-0", "namespace": "default", "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": {"containerStatuses": [ended]}}


async def test_stages_follow_each_other_and_the_gate_promotes() -> None:
    scene = Scene(clusters.trained(**BY_KUBEFLOW))
    await scene.run()
    scene.serve("small", "medium", "large")
    run = scene.agent("small")["run"]
    for stage in Stage:
        await scene.run(2)
        name = names.training_job("qwen", "small", stage, run)
        assert scene.agent("small")["job"] == f"TrainJob/{name}"
        _end(scene, stage, "Complete", clusters.evaluation(run, 0.1) if stage is Stage.EVALUATE else "")
    await scene.run()
    assert scene.agent("small")["servedRun"] == run
    assert scene.kube.names(JOBS) == []


async def test_a_failure_tells_the_trainers_words_and_is_tried_again_after_a_minute() -> None:
    scene = Scene(clusters.trained(**BY_KUBEFLOW))
    await scene.run()
    failed = _end(scene, Stage.COLLECT, "Failed", "no column 'question'", 1)
    await scene.run()
    small = scene.agent("small")
    assert (small["phase"], small["reason"]) == ("Collecting", "RetryWaits")
    assert "no column 'question'" in small["message"]
    scene.now += timedelta(minutes=1)
    scene.kube.objects.pop((PODS, "default", f"{failed['metadata']['name']}-node-0-0"))
    await scene.run(2)
    again = scene.kube.one(TRAIN_JOBS, failed["metadata"]["name"])
    assert again["metadata"]["uid"] != failed["metadata"]["uid"]
    _end(scene, Stage.COLLECT, "Failed", "no column 'question'", 1)
    await scene.run()
    assert scene.agent("small")["phase"] == "CollectingFailed"


async def test_without_kubeflow_the_refusal_names_it_and_the_other_backend_and_serving_goes_on() -> None:
    scene = Scene(clusters.trained(**BY_KUBEFLOW))
    scene.kube.absent.add(TRAIN_JOBS)
    unknown = KubeError("the server could not find the requested resource", 404)
    scene.kube.refuse = lambda obj: unknown if obj["kind"] == TRAIN_JOBS.kind else None
    await scene.run()
    message = scene.condition("Degraded")["message"]
    assert "is Kubeflow Trainer installed? else use spec.training.jobs.backend Job" in message
    assert "qwen" in scene.kube.names(SERVICES)


@pytest.fixture(scope="module")
def kubeflow(plane: ControlPlane) -> Iterator[None]:
    """Its kind, as far as an API server is concerned; the fields are judged by Kubeflow's models elsewhere."""
    group, version, plural, kind = TRAIN_JOBS
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    versions = {
        "name": version,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": anything},
    }
    name = f"{plural}.{group}"
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"},
            "versions": [versions],
        },
    }
    plane.apply(crd)
    plane.wait("the kind", lambda: plane.kubectl_process("get", name).returncode == 0)
    yield
    plane.kubectl("delete", "crd", name)


@pytest.fixture
async def world(plane: ControlPlane, kubeflow: None, tmp_path: Path) -> AsyncIterator[World]:
    """A cascade that trains by TrainJobs, kept by an operator with the rights of the chart's role."""
    account = operators.service_account(plane, tmp_path)
    manifest = base()
    manifest["spec"]["training"]["jobs"] = BY_KUBEFLOW
    async with await operators.api_client(plane.kubeconfig) as admin, await operators.api_client(account) as operator:
        yield await started(User(admin), Strict(operator), "by-kubeflow", operators.SETTINGS, manifest)


@pytest.mark.controlplane
async def test_an_api_server_with_kubeflows_kind_gets_one_train_job_a_stage_by_the_charts_rights(world: World) -> None:
    run = (await world.agent("small")).run
    assert run is not None
    await _conclude(world, run, Stage.COLLECT, "Complete")
    collect, sft = (names.training_job("qwen", "small", stage, run) for stage in (Stage.COLLECT, Stage.SFT))
    assert await _train_jobs(world) == {collect, sft}
    await _edit(world, lambda spec: spec["training"].update(suspend=True))
    assert await _train_jobs(world) == {collect}
    await _edit(world, lambda spec: spec["training"].update(suspend=False, jobs={"backend": "Job"}))
    assert (await world.agent("small")).job == f"Job/{sft}"
    assert await _train_jobs(world) == {collect}


async def _train_jobs(world: World) -> set[str]:
    return {job["metadata"]["name"] for job in await world.admin.list(TRAIN_JOBS, world.namespace)}


async def _conclude(world: World, run: str, stage: Stage, condition: str) -> None:
    job = await world.admin.get(TRAIN_JOBS, world.namespace, names.training_job("qwen", "small", stage, run))
    assert job is not None
    await world.admin.patch_status({**job, "status": {"conditions": [{"type": condition, "status": "True"}]}})
    await world.settle()


async def _edit(world: World, change: Any) -> None:
    manifest = await world.cascade()
    change(manifest["spec"])
    await world.admin.edit(manifest)
    await world.settle()
