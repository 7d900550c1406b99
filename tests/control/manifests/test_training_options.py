"""Training options as they reach the cluster, checked against the API's own models."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest
from kubernetes.client import ApiClient
from kubernetes.client.models.v1_job import V1Job

from disrouter.artifacts import Stage
from disrouter.errors import InvalidCascade
from disrouter_operator.kube.resources import Object
from disrouter_operator.manifests.training import runs
from support import clusters
from support.scenes import Scene

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from kubeflow_trainer_api.models.trainer_v1alpha1_train_job import TrainerV1alpha1TrainJob

OPTIONS: Object = {
    "nodes": 2,
    "processesPerNode": 4,
    "activeDeadlineSeconds": 86400,
    "queueName": "gpus",
    "env": [
        {"name": "HF_TOKEN", "secretKeyRef": {"name": "hub", "key": "token"}},
        {"name": "NCCL_DEBUG", "value": "WARN"},
    ],
    "pod": {"nodeSelector": {"gpu": "h200"}, "imagePullSecrets": ["registry"], "labels": {"team": "ml"}},
}


def objects(stage: Stage, **jobs: Any) -> tuple[Object, ...]:
    owner = clusters.cascade(clusters.trained(**jobs))
    config = runs.run_config(owner, owner.spec.agents[1])
    return runs.stage_objects(owner, config, stage, None, "trainer:test")


def trainer(job: Object) -> Object:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def test_nodes_meet_at_a_headless_service_and_train_as_an_indexed_job(golden: Any) -> None:
    _, service, job = objects(Stage.SFT, **OPTIONS)
    golden("training_nodes", [service, job])
    _known(job)


def test_what_a_run_takes_is_said_to_its_jobs_and_leaves_the_immutable_run_file_as_it_is() -> None:
    manifest = clusters.trained()
    usual = clusters.cascade(manifest)
    manifest["spec"]["training"]["collect"] = {"batchSize": 4096}
    manifest["spec"]["training"]["rl"] = {"microBatchSize": 2}
    other = clusters.cascade(manifest)
    (before, plain), (after, job) = (
        runs.stage_objects(owner, runs.run_config(owner, owner.spec.agents[1]), Stage.COLLECT, None, "trainer:test")
        for owner in (usual, other)
    )
    assert after == before
    assert job["metadata"]["name"] == plain["metadata"]["name"]
    (more,) = set(trainer(job)["args"]) - set(trainer(plain)["args"])
    option, _, value = more.partition("=")
    assert option == "--resources"
    assert json.loads(value) == {"collect": {"batchSize": 4096}, "rl": {"microBatchSize": 2}}


def test_every_claim_that_a_run_reads_is_mounted() -> None:
    manifest = clusters.trained()
    training_of = manifest["spec"]["training"]
    source = {"file": "pvc://dev-claim/x.jsonl"}
    training_of["evaluate"] = {"dev": [source], "heldout": [{"file": "pvc://heldout-claim/x.jsonl"}]}
    training_of["sft"] = {"extraction": {"model": "pvc://extractors/qwen2.5-14b"}}
    owner = clusters.cascade(manifest)
    config = runs.run_config(owner, owner.spec.agents[1])
    *_, job = runs.stage_objects(owner, config, Stage.SFT, None, "trainer:test")
    mounts = {mount["mountPath"].rpartition("/")[2] for mount in trainer(job)["volumeMounts"]}
    assert {"dev-claim", "heldout-claim", "extractors"} <= mounts


def test_only_the_stages_that_train_one_model_take_several_nodes() -> None:
    for stage in (Stage.COLLECT, Stage.EVALUATE):
        *_, job = objects(stage, **OPTIONS)
        assert len(objects(stage, **OPTIONS)) == 2
        assert "completionMode" not in job["spec"]
        assert trainer(job)["command"] == ["python", "-m", "disrouter_training"]
        assert trainer(job)["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_several_processes_on_one_node_need_no_service() -> None:
    _, job = objects(Stage.RL, processesPerNode=2)
    assert trainer(job)["command"] == [
        "torchrun",
        "--nproc-per-node=2",
        "--standalone",
        "-m",
        "--",
        "disrouter_training",
    ]
    assert trainer(job)["resources"]["limits"]["nvidia.com/gpu"] == "2"
    _known(job)


def test_a_train_job_says_the_same_in_kubeflows_words(golden: Any) -> None:
    _, job = objects(Stage.SFT, backend="TrainJob", **OPTIONS)
    golden("training_train_job", [job])
    assert TrainerV1alpha1TrainJob.from_dict(job).to_dict() == job


@pytest.mark.parametrize(
    ("pod", "field"),
    [
        ({"priorityClassName": "high"}, "spec.training.jobs.pod.priorityClassName"),
        ({"template": {"hostNetwork": True}}, "spec.training.jobs.pod.template.hostNetwork"),
        (
            {"template": {"containers": [{"name": "trainer", "imagePullPolicy": "Always"}]}},
            "spec.training.jobs.pod.template.containers",
        ),
    ],
)
async def test_what_a_train_job_cannot_take_is_an_invalid_manifest(pod: Object, field: str) -> None:
    scene = Scene(clusters.trained(backend="TrainJob", pod=pod))
    await scene.run()
    assert scene.condition("SpecValid")["status"] == "False"
    assert field in scene.condition("SpecValid")["message"]
    with pytest.raises(InvalidCascade):
        objects(Stage.SFT, backend="TrainJob", pod=pod)


def _known(job: Object) -> None:
    """Every field is one that Kubernetes' OpenAPI knows, in the right place."""
    client = ApiClient()
    read = client._ApiClient__deserialize_model(job, V1Job)
    assert client.sanitize_for_serialization(read) == job
