"""What a Job or TrainJob says of itself: running, queued, done, failed, and its trainer's last words."""

from __future__ import annotations

from datetime import datetime

from disrouter import names
from disrouter.artifacts import RunConfig, Stage
from disrouter_operator.kube.observed import Observed, label
from disrouter_operator.kube.resources import DEPLOYMENTS, PODS, Object, reference
from disrouter_operator.kube.timestamps import seconds_until
from disrouter_operator.manifests.training.runs import STAGE_KINDS
from disrouter_operator.manifests.training.trainer_pod import job_name
from disrouter_operator.status import pod_troubles

POD_SECONDS = 30.0
"""Until a Job without a pod is said to have none; its controller makes one within a second or two."""


def find(config: RunConfig, stage: Stage, observed: Observed) -> Object | None:
    """What works, or worked, on a stage of a run."""
    name = job_name(config, stage)
    found = (observed.find(kind, name) for kind in STAGE_KINDS)
    return next((job for job in found if job is not None), None)


def complete(job: Object) -> bool:
    """It succeeded."""
    return _condition(job, "Complete") is not None


def failed(job: Object) -> bool:
    """It gave up."""
    return _condition(job, "Failed") is not None


def finished(job: Object) -> bool:
    """It will do nothing more."""
    return complete(job) or failed(job)


def failure(job: Object, observed: Observed) -> tuple[str, str]:
    """Why it failed: the controller's reason, and the trainer's own words."""
    condition = _condition(job, "Failed") or {}
    said = last_words(job, observed, succeeded=False)
    text = said or str(condition.get("message") or "") or "its pods left no message; see their log"
    return str(condition.get("reason") or "Failed"), text.strip()


def queued(job: Object) -> bool:
    """It is suspended: a queue (Kueue) has not admitted it yet."""
    return bool((job.get("spec") or {}).get("suspend")) and not (job.get("status") or {}).get("active")


def pods(job: Object, observed: Observed) -> list[Object]:
    """Its pods, newest last."""
    wanted = {name: label(job, name) for name in (names.LABEL_RUN, names.LABEL_STAGE, names.LABEL_AGENT)}
    found = [pod for pod in observed.children[PODS].values() if all(label(pod, k) == v for k, v in wanted.items())]
    return sorted(found, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))


def trouble(job: Object, observed: Observed, now: datetime) -> str | None:
    """What a pod of it waits for, or why it has none; one that failed is the Job's to count."""
    left = podless(job, observed, now)
    if left is not None and left <= 0:
        return _no_pod(job, observed)
    found = pod_troubles.of_pods(pod for pod in pods(job, observed) if not pod_troubles.finished(pod))
    waits = found is not None and found[0] in (pod_troubles.POD_WAITS, pod_troubles.UNSCHEDULABLE)
    return found[1] if found is not None and waits else None


def podless(job: Object, observed: Observed, now: datetime) -> float | None:
    """Seconds until it is said that it has no pod; None where it has one, had one, or is to have none."""
    status, created = job.get("status") or {}, job["metadata"].get("creationTimestamp")
    had = status.get("active") or status.get("failed") or pods(job, observed)
    if not created or had or finished(job) or queued(job):
        return None
    return seconds_until(created, now, POD_SECONDS)


def _no_pod(job: Object, observed: Observed) -> str:
    """A Job tells of refusals in Events alone; but what refuses its pods mostly refuses those of agents too."""
    deployments = observed.children[DEPLOYMENTS].values()
    refused = next((found[1] for each in deployments if (found := pod_troubles.of_deployment(each))), None)
    cause = f"so it is with agents: {refused}" if refused else "a quota, Pod Security or a webhook may refuse it"
    look = f"`kubectl describe {reference(job).lower()}` shows why among its Events"
    return f"{reference(job)} has no pod: {cause}; {look}"


def last_words(job: Object, observed: Observed, *, succeeded: bool) -> str | None:
    """What the trainer of its newest pod with that outcome left in its termination log."""
    for pod in reversed(pods(job, observed)):
        for status in (pod.get("status") or {}).get("containerStatuses") or []:
            ended = (status.get("state") or {}).get("terminated") or {}
            if ended.get("message") and (ended.get("exitCode") == 0) is succeeded:
                return str(ended["message"])
    return None


def _condition(job: Object, type_: str) -> Object | None:
    conditions: list[Object] = (job.get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each.get("type") == type_ and each.get("status") == "True"), None)
