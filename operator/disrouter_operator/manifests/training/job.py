"""A stage as a Kubernetes Job: one pod, or one per node that find each other by a headless Service (torchrun)."""

from __future__ import annotations

from disrouter.artifacts import INTERRUPTED
from disrouter_operator.kube.resources import JOBS, SERVICES, Object
from disrouter_operator.manifests import pod_options
from disrouter_operator.manifests.training import trainer_pod
from disrouter_operator.manifests.training.trainer_pod import Step

PORT = 29500
"""Where the first node's torchrun meets the others: its own default."""


def build(step: Step) -> tuple[Object, ...]:
    """The Job, after the Service that its pods meet at if there are several."""
    job = _job(step)
    return (_meeting(step), job) if step.nodes > 1 else (job,)


def _job(step: Step) -> Object:
    jobs = step.training.jobs
    pod = trainer_pod.pod(step, trainer_pod.container(step, _command(step)))
    if step.nodes > 1:
        pod["subdomain"] = step.name
    placed = pod_options.of_jobs(step.training).place(pod)
    labels = step.labels()
    manifest = step.cascade.child(JOBS, step.name, {**labels, **step.queue()})
    manifest["spec"] = {
        "backoffLimit": jobs.backoff_limit,
        "podFailurePolicy": _interruptions_do_not_count(),
        "template": {
            "metadata": {**placed.metadata, "labels": {**placed.labels, **labels}},
            "spec": placed.spec,
        },
    }
    if jobs.active_deadline_seconds is not None:
        manifest["spec"]["activeDeadlineSeconds"] = jobs.active_deadline_seconds
    if jobs.queue_name:
        manifest["spec"]["suspend"] = True
    if step.nodes > 1:
        manifest["spec"] |= {"completionMode": "Indexed", "completions": step.nodes, "parallelism": step.nodes}
    return manifest


def _meeting(step: Step) -> Object:
    """A headless Service gives each pod a host name; the pods need it before any of them is ready."""
    manifest = step.cascade.child(SERVICES, step.name, step.labels())
    port = {"name": "torchrun", "port": PORT, "targetPort": PORT, "protocol": "TCP"}
    manifest["spec"] = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": step.labels(),
        "ports": [port],
    }
    return manifest


def _command(step: Step) -> list[str]:
    if not step.distributed:
        return ["python", "-m", trainer_pod.MODULE]
    run = ["torchrun", f"--nproc-per-node={step.processes}"]
    if step.nodes == 1:
        return [*run, "--standalone", *trainer_pod.TORCHRUN_MODULE]
    # The kubelet fills in the index, which the Job controller puts into each pod's environment.
    place = [f"--nnodes={step.nodes}", "--node-rank=$(JOB_COMPLETION_INDEX)"]
    return [
        *run,
        *place,
        f"--master-addr={step.name}-0.{step.name}",
        f"--master-port={PORT}",
        *trainer_pod.TORCHRUN_MODULE,
    ]


def _interruptions_do_not_count() -> Object:
    kept = {"containerName": trainer_pod.CONTAINER, "operator": "In", "values": [INTERRUPTED]}
    return {
        "rules": [
            {"action": "Ignore", "onExitCodes": kept},
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        ]
    }
