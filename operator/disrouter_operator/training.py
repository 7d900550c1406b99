"""Training of one agent: the run that its inputs ask for, its `run.json`, and a Job for each stage."""

from __future__ import annotations

import json

from disrouter import names, uris
from disrouter.api import Agent, Training
from disrouter.artifacts import RUN_FILE, RunConfig, Stage, served_subpath
from disrouter_operator.cascade import COMPONENT_TRAINING, Cascade
from disrouter_operator.containers import NON_ROOT, complete_resources
from disrouter_operator.resources import CONFIG_MAPS, JOBS, Object

CONTAINER = "trainer"
ARTIFACTS_MOUNT = "/mnt/artifacts"
RUN_MOUNT = "/etc/disrouter"
TERMINATION_LOG = "/dev/termination-log"
FILE_GROUP = 65532
"""Group of mounted volumes, so that the trainer writes to a fresh claim without being root."""
_REQUESTS = {"cpu": "2", "memory": "16Gi"}
_LIMITS = {"cpu": "8", "memory": "64Gi"}


def run_config(cascade: Cascade, agent: Agent, default_image: str) -> RunConfig:
    """Everything that determines the agent's training; its hash is the run. Other agents are no part of it."""
    training = _training(cascade)
    assert agent.model is not None, "an external model is not trained"
    return RunConfig(
        cascade=cascade.name,
        agent=agent.name,
        model=agent.model.uri,
        image=training.image or default_image,
        seed=training.seed,
        datasets=training.datasets,
        collect=training.collect,
        sft=training.sft,
        rl=training.rl,
        evaluate=training.evaluate,
    )


def run_config_map(cascade: Cascade, config: RunConfig) -> Object:
    """The immutable ConfigMap with a run's `run.json`."""
    name = names.run_config_map(cascade.name, config.agent, config.run)
    manifest = cascade.child(CONFIG_MAPS, name, _labels(cascade, config))
    manifest["immutable"] = True
    manifest["data"] = {RUN_FILE: json.dumps(config.dump(), indent=2, sort_keys=True) + "\n"}
    return manifest


def job_name(config: RunConfig, stage: Stage) -> str:
    """The Job of a stage; named by the run, so it is never patched."""
    return names.training_job(config.cascade, config.agent, stage, config.run)


def job(cascade: Cascade, config: RunConfig, stage: Stage, served: str | None = None) -> Object:
    """The Job that takes a run through one stage. A retry resumes from the stage's own checkpoint.

    `served` is the run that the agent serves meanwhile, None for its base model: what `evaluate` compares with. It
    cannot change while the Job lives, because only the Job's own run can be promoted next.
    """
    labels = _labels(cascade, config) | {names.LABEL_STAGE: str(stage)}
    manifest = cascade.child(JOBS, job_name(config, stage), labels)
    manifest["spec"] = {
        "backoffLimit": _training(cascade).jobs.backoff_limit,
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": False,
                "securityContext": {"fsGroup": FILE_GROUP},
                "containers": [_trainer(cascade, config, _arguments(config, stage, served))],
                "volumes": _volumes(cascade, config),
            },
        },
    }
    return manifest


def _arguments(config: RunConfig, stage: Stage, served: str | None) -> list[str]:
    arguments = [str(stage), f"--run={RUN_MOUNT}/{RUN_FILE}", f"--artifacts={ARTIFACTS_MOUNT}"]
    if stage is Stage.EVALUATE and served is not None:
        arguments.append(f"--serving={ARTIFACTS_MOUNT}/{served_subpath(config.cascade, config.agent, served)}")
    return arguments


def _trainer(cascade: Cascade, config: RunConfig, arguments: list[str]) -> Object:
    inputs = [
        {"name": _volume_name(claim), "mountPath": f"{uris.PVC_ROOT}/{claim}", "readOnly": True}
        for claim in _claims(config)
    ]
    return {
        "name": CONTAINER,
        "image": config.image,
        "command": ["python", "-m", "disrouter_training"],
        "args": arguments,
        "env": [
            {"name": "DISROUTER_PVC_ROOT", "value": uris.PVC_ROOT},
            {"name": "DISROUTER_TERMINATION_LOG", "value": TERMINATION_LOG},
        ],
        "terminationMessagePath": TERMINATION_LOG,
        "resources": complete_resources(_training(cascade).resources, _REQUESTS, _LIMITS),
        "securityContext": dict(NON_ROOT),
        "volumeMounts": [
            {"name": "run", "mountPath": RUN_MOUNT, "readOnly": True},
            {"name": "artifacts", "mountPath": ARTIFACTS_MOUNT},
            *inputs,
        ],
    }


def _volumes(cascade: Cascade, config: RunConfig) -> list[Object]:
    run = {"name": "run", "configMap": {"name": names.run_config_map(cascade.name, config.agent, config.run)}}
    claims = {"artifacts": _training(cascade).artifacts.persistent_volume_claim}
    claims |= {_volume_name(claim): claim for claim in _claims(config)}
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": claim}} for name, claim in claims.items()]
    return [run, *volumes]


def _claims(config: RunConfig) -> list[str]:
    """Claims that hold the base model or datasets, in a stable order."""
    addresses = [config.model, *(each.file for each in (*config.datasets, *config.evaluate.datasets) if each.file)]
    return sorted({uri.host for uri in map(uris.parse, addresses) if uri.scheme == "pvc"})


def _volume_name(claim: str) -> str:
    return names.child("pvc", claim.replace(".", "-"), limit=63)


def _labels(cascade: Cascade, config: RunConfig) -> dict[str, str]:
    return cascade.labels(COMPONENT_TRAINING, config.agent) | {names.LABEL_RUN: config.run}


def _training(cascade: Cascade) -> Training:
    training = cascade.spec.training
    assert training is not None, "the rules demand spec.training where an agent is trained"
    return training
