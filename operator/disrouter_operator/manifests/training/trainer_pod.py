"""The trainer's container and pod: the same whatever runs it (a Job, or Kubeflow's TrainJob)."""

from __future__ import annotations

import json
from dataclasses import dataclass

from disrouter import names, uris
from disrouter.api import Agent, Training
from disrouter.api.quantity import ResourceRequirements
from disrouter.artifacts import RUN_FILE, RunConfig, Stage, served_subpath
from disrouter_operator.kube.resources import Object
from disrouter_operator.manifests import hub
from disrouter_operator.manifests.cascade import COMPONENT_TRAINING, Cascade
from disrouter_operator.manifests.containers import FILE_GROUP, GPU, NON_ROOT, complete_resources, environment

CONTAINER = "trainer"
ARTIFACTS_MOUNT = "/mnt/artifacts"
RUN_MOUNT = "/etc/disrouter"
TERMINATION_LOG = "/dev/termination-log"
SCRATCH_VOLUME, SCRATCH_MOUNT = "tmp", "/tmp"  # noqa: S108  a folder of the pod
"""The one place besides its claims that the trainer may write to: caches of the Hub and of compilers."""
GRACE_SECONDS = 120
"""Time to write a checkpoint when a pod has to go: a preemption, a drained node, `spec.training.suspend`."""
MODULE = "disrouter_training"
TORCHRUN_MODULE = ("-m", "--", MODULE)
"""Without the dashes torchrun takes the trainer's `--run` for an abbreviation of its own `--run-path`."""
QUEUE = "kueue.x-k8s.io/queue-name"
"""Label by which Kueue takes a Job, or a TrainJob, under its wings."""
_TORCHRUN_WAITS = {"name": "TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "value": str(GRACE_SECONDS - 10)}
"""Seconds in which processes may write a checkpoint after a signal; torchrun's own 30 are few for a large model."""
_REQUESTS = {"cpu": "2", "memory": "16Gi"}
_LIMITS = {"cpu": "8", "memory": "64Gi"}
_PARALLEL = (Stage.SFT, Stage.RL)
"""Stages in which the processes of several nodes train one model; the others generate on one."""


def job_name(config: RunConfig, stage: Stage) -> str:
    """The Job of a stage; named by the run, so it is never patched."""
    return names.training_job(config.cascade, config.agent, stage, config.run)


@dataclass(frozen=True)
class Step:
    """One stage of a run, and what it compares with: all that its Job is made from."""

    cascade: Cascade
    config: RunConfig
    stage: Stage
    served: str | None
    image: str

    @property
    def training(self) -> Training:
        return self.cascade.training

    @property
    def agent(self) -> Agent:
        return next(each for each in self.cascade.spec.agents if each.name == self.config.agent)

    @property
    def nodes(self) -> int:
        return self.training.jobs.nodes if self.stage in _PARALLEL else 1

    @property
    def processes(self) -> int:
        """Processes on each node."""
        return self.training.jobs.processes_per_node if self.stage in _PARALLEL else 1

    @property
    def distributed(self) -> bool:
        return self.nodes * self.processes > 1

    @property
    def name(self) -> str:
        return job_name(self.config, self.stage)

    def labels(self) -> dict[str, str]:
        """Labels of its Job and pods."""
        labels = self.cascade.labels(COMPONENT_TRAINING, self.config.agent)
        labels |= {names.LABEL_RUN: self.config.run, names.LABEL_STAGE: str(self.stage)}
        return labels | ({names.LABEL_SERVING: self.served or names.BASE} if self.stage is Stage.EVALUATE else {})

    def queue(self) -> dict[str, str]:
        """The label by which its queue finds it; none where there is no queue."""
        queue = self.training.jobs.queue_name
        return {QUEUE: queue} if queue else {}


def container(step: Step, command: list[str]) -> Object:
    """The trainer; `command` is followed by the stage and its places."""
    inputs = [
        {"name": _volume_name(claim), "mountPath": f"{uris.PVC_ROOT}/{claim}", "readOnly": True}
        for claim in input_claims(step.config)
    ]
    return {
        "name": CONTAINER,
        "image": step.image,
        "command": command,
        "args": _arguments(step),
        "env": [
            {"name": "DISROUTER_PVC_ROOT", "value": uris.PVC_ROOT},
            {"name": "DISROUTER_TERMINATION_LOG", "value": TERMINATION_LOG},
            *([_TORCHRUN_WAITS] if step.distributed else []),
            *hub.variables(step.agent),
            *environment(step.training.jobs.env),
        ],
        "terminationMessagePath": TERMINATION_LOG,
        "resources": complete_resources(_resources(step), _REQUESTS, _LIMITS),
        "securityContext": {**NON_ROOT, "readOnlyRootFilesystem": True},
        "volumeMounts": [
            {"name": "run", "mountPath": RUN_MOUNT, "readOnly": True},
            {"name": SCRATCH_VOLUME, "mountPath": SCRATCH_MOUNT},
            {"name": "artifacts", "mountPath": ARTIFACTS_MOUNT},
            *hub.mounts(step.agent),
            *inputs,
        ],
    }


def pod(step: Step, trainer: Object) -> Object:
    """The pod around the trainer."""
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {"fsGroup": FILE_GROUP},
        "containers": [trainer],
        "volumes": _volumes(step),
    }


def _arguments(step: Step) -> list[str]:
    config = step.config
    arguments = [str(step.stage), f"--run={RUN_MOUNT}/{RUN_FILE}", f"--artifacts={ARTIFACTS_MOUNT}"]
    if config.resources:
        arguments.append(f"--resources={json.dumps(config.resources, sort_keys=True, separators=(',', ':'))}")
    if step.stage is Stage.EVALUATE and step.served is not None:
        arguments.append(f"--serving={ARTIFACTS_MOUNT}/{served_subpath(config.cascade, config.agent, step.served)}")
    return arguments


def _resources(step: Step) -> ResourceRequirements:
    """A GPU for each process, unless the manifest says what a pod needs."""
    return step.training.resources or ResourceRequirements(limits={GPU: str(step.processes)})


def _volumes(step: Step) -> list[Object]:
    run_file = names.run_config_map(step.cascade.name, step.config.agent, step.config.run)
    claims = {"artifacts": step.training.artifacts.persistent_volume_claim}
    claims |= {_volume_name(claim): claim for claim in input_claims(step.config)}
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": claim}} for name, claim in claims.items()]
    run = {"name": "run", "configMap": {"name": run_file}}
    return [run, {"name": SCRATCH_VOLUME, "emptyDir": {}}, *volumes, *hub.volumes(step.agent)]


def input_claims(config: RunConfig) -> list[str]:
    """Claims that hold the base model or datasets, in a stable order."""
    judged = config.evaluate
    sources = (*config.datasets, *judged.datasets, *judged.dev, *judged.heldout)
    models = [config.model, *([config.sft.extraction.model] if config.sft.extraction else [])]
    addresses = [*models, *(each.file for each in sources if each.file)]
    return sorted({uri.host for uri in map(uris.parse, addresses) if uri.scheme == "pvc"})


def _volume_name(claim: str) -> str:
    return names.child("pvc", claim.replace(".", "-"), limit=63)
