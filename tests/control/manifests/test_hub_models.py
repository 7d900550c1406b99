"""A model of the Hub: one revision for what is served and trained, its token by reference, a cache that all share."""

from __future__ import annotations

from typing import Any

import pytest

from disrouter.artifacts import Stage
from disrouter_operator.kube.resources import Object
from disrouter_operator.manifests import claims, hub
from disrouter_operator.manifests.cascade import Cascade
from disrouter_operator.manifests.serving.inference_service import inference_service
from disrouter_operator.manifests.training import runs
from support import clusters

COMMIT = "7ae557604adf67be50417f59c2c2f167def9a775"
TOKEN = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}}
CACHE = {"name": "HF_HOME", "value": hub.MOUNT}


def example(mode: str = "Standard", **model: Any) -> Cascade:
    """The example, whose first agent's model says more."""
    manifest = clusters.example(deploymentMode=mode)
    manifest["spec"]["agents"][0]["model"] |= model
    return clusters.cascade(manifest)


def pinned(mode: str = "Standard") -> Cascade:
    return example(
        mode,
        revision=COMMIT,
        tokenSecretRef={"name": "hub", "key": "token"},
        cache={"persistentVolumeClaim": "hub-cache"},
    )


def engine(cascade: Cascade, run: str | None = None) -> tuple[Object, Object]:
    """The pod of the first agent, and the engine in it."""
    found = inference_service(cascade, cascade.spec.agents[0], run, "sidecar:test")["spec"]["predictor"]
    return found, found["containers"][0]


def trainer(cascade: Cascade, stage: Stage = Stage.COLLECT) -> tuple[Object, Object]:
    """The pod of a stage of the first agent, and the trainer in it."""
    config = runs.run_config(cascade, cascade.spec.agents[0])
    pod = runs.stage_objects(cascade, config, stage, None, "trainer:test")[-1]["spec"]["template"]["spec"]
    return pod, pod["containers"][0]


def test_an_engine_serves_weights_and_tokenizer_of_the_revision() -> None:
    args = engine(pinned())[1]["args"]
    assert args[0] == "Qwen/Qwen2.5-0.5B-Instruct"
    assert args[1:3] == [f"--revision={COMMIT}", f"--tokenizer-revision={COMMIT}"]
    assert not any("revision" in each for each in engine(example())[1]["args"])


@pytest.mark.parametrize("stage", Stage)
def test_every_stage_is_told_the_same_revision(stage: Stage) -> None:
    cascade = pinned()
    config = runs.run_config(cascade, cascade.spec.agents[0])
    assert config.revision == COMMIT
    assert runs.run_config_map(cascade, config)["data"]["run.json"].count(COMMIT) == 1
    pod, container = trainer(cascade, stage)
    (named,) = (each["configMap"]["name"] for each in pod["volumes"] if "configMap" in each)
    assert named == runs.run_config_map(cascade, config)["metadata"]["name"]
    (place,) = (each["mountPath"] for each in container["volumeMounts"] if each["name"] == "run")
    assert container["args"][:2] == [stage, f"--run={place}/run.json"]


def test_another_revision_is_another_run_and_none_is_the_run_that_it_was() -> None:
    names = [
        runs.run_config(cascade, cascade.spec.agents[0]).run
        for cascade in (example(), example(revision=COMMIT), example(revision="main"))
    ]
    assert len(set(names)) == 3
    plain = example()
    config = runs.run_config(plain, plain.spec.agents[0])
    assert "revision" not in runs.run_config_map(plain, config)["data"]["run.json"], "a release makes no new runs"


def test_where_a_token_lies_and_what_is_kept_is_no_part_of_a_run() -> None:
    plain, more = example(revision=COMMIT), pinned()
    assert runs.run_config(plain, plain.spec.agents[0]).run == runs.run_config(more, more.spec.agents[0]).run


@pytest.mark.parametrize("mode", ["Standard", "Knative"])
def test_engine_and_trainer_have_the_same_token_and_cache(mode: str) -> None:
    for pod, container in (engine(pinned(mode)), trainer(pinned(mode))):
        names = [each["name"] for each in container["env"]]
        assert TOKEN in container["env"]
        assert CACHE in container["env"]
        assert names.count("HF_HOME") == 1
        assert {"name": hub.VOLUME, "mountPath": hub.MOUNT} in container["volumeMounts"]
        claimed = {"name": hub.VOLUME, "persistentVolumeClaim": {"claimName": "hub-cache"}}
        assert claimed in pod["volumes"], "whoever comes first writes"


def test_engine_and_trainer_write_as_one_group() -> None:
    groups = {pod["securityContext"].get("fsGroup") for pod, _ in (engine(pinned()), trainer(pinned()))}
    assert groups == {65532}
    assert "fsGroup" not in engine(example())[0]["securityContext"], "a pod of before stays as it is"


SECURITY: dict[str, tuple[Object, str, tuple[bool, int | None]]] = {
    "as the trainer": ({}, "Standard", (True, 65532)),
    "as the trainer, read-only": ({"readOnlyRootFilesystem": True}, "Standard", (True, 65532)),
    "as the trainer, in other words": ({"runAsNonRoot": True}, "Standard", (True, 65532)),
    "as somebody else": ({"runAsUser": 1000}, "Standard", (True, 1000)),
    "as root": ({"runAsNonRoot": False}, "Standard", (False, None)),
    "as root, where a fresh claim is root's": ({}, "Knative", (False, None)),
    "as vLLM's user": ({"runAsNonRoot": True}, "Knative", (True, 2000)),
}


@pytest.mark.parametrize("case", SECURITY)
def test_an_engine_with_a_cache_runs_as_the_trainer_unless_it_is_told(case: str) -> None:
    given, mode, wanted = SECURITY[case]
    manifest = clusters.example(deploymentMode=mode)
    first = manifest["spec"]["agents"][0]
    first["model"]["cache"] = {"persistentVolumeClaim": "hub-cache"}
    first["engine"] = {**first.get("engine", {}), "securityContext": given}
    for run in (None, "0123456789"):
        context = engine(clusters.cascade(manifest), run)[1]["securityContext"]
        assert (context.get("runAsNonRoot", False), context.get("runAsUser")) == wanted


def test_an_engine_without_a_cache_is_who_it_was() -> None:
    assert "runAsUser" not in engine(example())[1]["securityContext"]


def test_a_trained_run_needs_nothing_of_the_hub() -> None:
    pod, container = engine(pinned(), run="0123456789")
    assert not any("revision" in each for each in container["args"])
    assert TOKEN not in container["env"]
    assert hub.VOLUME not in [each["name"] for each in pod["volumes"]]
    assert "fsGroup" not in pod["securityContext"]


def test_the_trainers_own_variable_comes_last_and_so_wins() -> None:
    manifest = clusters.trained(env=[{"name": "HF_TOKEN", "value": "of the datasets"}])
    manifest["spec"]["agents"][0]["model"]["tokenSecretRef"] = {"name": "hub", "key": "token"}
    said = [each for each in trainer(clusters.cascade(manifest))[1]["env"] if each["name"] == "HF_TOKEN"]
    assert said == [TOKEN, {"name": "HF_TOKEN", "value": "of the datasets"}]


def test_a_cache_that_one_node_alone_mounts_is_told_of() -> None:
    (said,) = claims.confined(pinned(), {"hub-cache": {"ReadWriteOnce"}})
    assert "claim hub-cache is ReadWriteOnce" in said
    assert "agent small: 1, training of small: 1" in said
