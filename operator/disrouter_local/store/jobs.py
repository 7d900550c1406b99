"""Job -> Pods, for the on-disk store; a cluster's kube-controller-manager does it there.

One pod at a time. A failed pod is followed by another after a growing delay, `backoffLimit` times; a pod that was only
interrupted (exit code 75, or the runtime went away) is followed by another without being counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from disrouter.artifacts import INTERRUPTED
from disrouter.backoff import Backoff
from disrouter_local.objects import (
    controlled_by,
    is_true,
    key_of,
    owner_reference,
    parse_stamp,
    stamp,
    with_condition,
)
from disrouter_operator.kube.client import Kube
from disrouter_operator.kube.resources import JOBS, PODS, Object

NODE_SHUTDOWN = "NodeShutdown"
"""`status.reason` of a pod whose processes ended with the runtime."""
RETRY = Backoff(first=1.0, longest=60.0)
DEFAULT_BACKOFF_LIMIT = 6


@dataclass(frozen=True)
class Plan:
    """Whether to make a pod now, and the status to write."""

    create: bool
    status: dict[str, Any]


async def sync(kube: Kube, now: datetime) -> None:
    """One step for every Job."""
    pods = await kube.list(PODS, None)
    for job in await kube.list(JOBS, None):
        todo = plan(job, controlled_by(job, pods), now)
        if todo.create:
            await kube.create(build_pod(job))
        if todo.status != job.get("status"):
            await kube.patch_status({**job, "status": todo.status})


def plan(job: Object, pods: list[Object], now: datetime) -> Plan:
    """What a Job needs, from its pods."""
    if is_true(job, "Complete") or is_true(job, "Failed"):
        return Plan(False, job["status"])
    ended = [pod for pod in pods if _phase(pod) == "Failed"]
    failed = sum(not was_interrupted(pod) for pod in ended)
    succeeded = any(_phase(pod) == "Succeeded" for pod in pods)
    active = sum(_phase(pod) not in ("Failed", "Succeeded") for pod in pods)
    limit = int(job["spec"].get("backoffLimit", DEFAULT_BACKOFF_LIMIT))
    exhausted = not succeeded and failed > limit
    create = not succeeded and not exhausted and not active and _rested(ended, now)
    status: dict[str, Any] = {
        "startTime": (job.get("status") or {}).get("startTime") or stamp(now),
        "active": active + create,
        "succeeded": int(succeeded),
        "failed": failed,
    }
    if succeeded:
        status["completionTime"] = stamp(now)
        status["conditions"] = [with_condition(job, "Complete", status=True, reason="CompletionsReached", now=now)]
    elif exhausted:
        message = f"{failed} of {limit + 1} attempts failed; the last pod's log says why"
        status["conditions"] = [
            with_condition(job, "Failed", status=True, reason="BackoffLimitExceeded", message=message, now=now)
        ]
    return Plan(create, status)


def build_pod(job: Object) -> Object:
    """The Job's next pod."""
    template = job["spec"]["template"]
    metadata = template.get("metadata") or {}
    name = job["metadata"]["name"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{name}-",
            "namespace": key_of(job).namespace,
            "labels": {**(metadata.get("labels") or {}), "job-name": name, "batch.kubernetes.io/job-name": name},
            "annotations": dict(metadata.get("annotations") or {}),
            "ownerReferences": [owner_reference(job)],
        },
        "spec": template["spec"],
    }


def was_interrupted(pod: Object) -> bool:
    """Whether a failed pod asks to be run again without counting as a failure."""
    status = pod.get("status") or {}
    codes = [code for item in status.get("containerStatuses") or [] if (code := _exit_code(item)) != 0]
    return status.get("reason") == NODE_SHUTDOWN or (bool(codes) and set(codes) == {INTERRUPTED})


def _rested(ended: list[Object], now: datetime) -> bool:
    """Whether the delay after the last ended pod is over."""
    moments = [moment for pod in ended if (moment := _finished(pod)) is not None]
    return not moments or (now - max(moments)).total_seconds() >= RETRY.delay(len(ended))


def _finished(pod: Object) -> datetime | None:
    states = [_terminated(item) for item in (pod.get("status") or {}).get("containerStatuses") or []]
    stamps = [state["finishedAt"] for state in states if state.get("finishedAt")]
    return max(map(parse_stamp, stamps)) if stamps else None


def _phase(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase", "Pending"))


def _exit_code(container_status: dict[str, Any]) -> int:
    return int(_terminated(container_status).get("exitCode", 0))


def _terminated(container_status: dict[str, Any]) -> dict[str, Any]:
    return dict((container_status.get("state") or {}).get("terminated") or {})
