"""A stage as a TrainJob of Kubeflow Trainer (v2, trainer.kubeflow.org/v1alpha1), where its CRD is installed.

The ClusterTrainingRuntime that Kubeflow ships for torch says how nodes find each other; the TrainJob brings image,
command and resources, and patches the pod's volumes and placement in. What the runtime does not let a TrainJob patch
is an invalid manifest, not a setting that is silently left out.
"""

from __future__ import annotations

from typing import Any

from disrouter.errors import InvalidCascade, Violation
from disrouter_operator.kube.resources import TRAIN_JOBS, Object
from disrouter_operator.manifests import pod_options
from disrouter_operator.manifests.training import trainer_pod
from disrouter_operator.manifests.training.trainer_pod import Step

RUNTIME = "torch-distributed"
NODE = "node"
"""The runtime's replicated job, and the trainer's container in it."""
MANAGER = "disrouter.io/operator"
_PATCHABLE = (
    *("affinity", "imagePullSecrets", "nodeSelector", "securityContext", "serviceAccountName"),
    *("terminationGracePeriodSeconds", "tolerations", "volumes"),
)
"""Fields of a pod that a TrainJob may patch (PodSpecPatch)."""
_ELSEWHERE = frozenset({"containers", "restartPolicy", "automountServiceAccountToken", "enableServiceLinks"})
"""Fields that the TrainJob says in other words, or that are the runtime's."""


def build(step: Step) -> Object:
    """The TrainJob of a stage. Raises InvalidCascade for pod options that Kubeflow cannot take."""
    jobs = step.training.jobs
    main = trainer_pod.container(step, _command(step))
    placed = pod_options.of_jobs(step.training).place(trainer_pod.pod(step, main))
    _refuse_the_rest(placed.spec, main)
    labels = step.labels()
    manifest = step.cascade.child(TRAIN_JOBS, step.name, {**labels, **step.queue()})
    metadata = {**placed.metadata, "labels": {**placed.labels, **labels}}
    patch: Object = {name: placed.spec[name] for name in _PATCHABLE if name in placed.spec}
    patch["containers"] = [
        {"name": NODE, "securityContext": main["securityContext"], "volumeMounts": main["volumeMounts"]}
    ]
    manifest["spec"] = {
        "runtimeRef": {"name": RUNTIME},
        "trainer": {
            **{name: main[name] for name in ("image", "command", "args", "env")},
            "numNodes": step.nodes,
            "numProcPerNode": step.processes,
            "resourcesPerNode": main["resources"],
        },
        "runtimePatches": [{"manager": MANAGER, "trainingRuntimeSpec": _pods(metadata, patch)}],
    }
    if jobs.active_deadline_seconds is not None:
        manifest["spec"]["activeDeadlineSeconds"] = jobs.active_deadline_seconds
    if jobs.queue_name:
        manifest["spec"]["suspend"] = True
    return manifest


def _command(step: Step) -> list[str]:
    """The runtime tells torchrun by its environment (PET_*) how many there are and where."""
    return ["torchrun", *trainer_pod.TORCHRUN_MODULE] if step.distributed else ["python", "-m", trainer_pod.MODULE]


def _pods(metadata: Object, patch: Object) -> Object:
    template = {"metadata": metadata, "spec": patch}
    job = {"name": NODE, "template": {"spec": {"template": template}}}
    return {"template": {"spec": {"replicatedJobs": [job]}}}


def _refuse_the_rest(pod: Object, main: Object) -> None:
    place, found = "spec.training.jobs.pod", list[Violation]()
    allowed: dict[str, Any] = {"containers": [main]}
    for name in sorted(pod.keys() - set(_PATCHABLE)):
        if name in _ELSEWHERE and pod[name] == allowed.get(name, pod[name]):
            continue
        field = f"{place}.priorityClassName" if name == "priorityClassName" else f"{place}.template.{name}"
        found.append(Violation(field, "a TrainJob cannot set it; remove it, or use spec.training.jobs.backend Job"))
    if found:
        raise InvalidCascade(found)
