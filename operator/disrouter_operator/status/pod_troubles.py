"""What keeps pods from serving, in the words of those who know: the kubelet, the scheduler, the Deployment controller.

Read from objects that are listed anyway. The last line of a container's log comes as its termination message
(`terminationMessagePolicy: FallbackToLogsOnError`), so that nobody needs the right to read logs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from disrouter_operator.kube.observed import condition, is_terminating
from disrouter_operator.kube.resources import Object

Trouble = tuple[str, str]
"""Reason and message."""

POD_REFUSED = "PodRefused"
"""A quota, Pod Security or a webhook lets no pod be made."""
POD_EVICTED = "PodEvicted"
OUT_OF_MEMORY = "OutOfMemory"
CRASHING = "Crashing"
UNSCHEDULABLE = "Unschedulable"
POD_WAITS = "PodWaits"
PROBE_FAILS = "ProbeFails"
_WORST_FIRST = (OUT_OF_MEMORY, CRASHING, POD_WAITS, UNSCHEDULABLE, POD_EVICTED, PROBE_FAILS)
"""What its owner has to mend, before what the cluster mends by itself."""
REASONS = frozenset({POD_REFUSED, *_WORST_FIRST}) - {PROBE_FAILS}
"""Of what somebody should look at; that a probe fails is how every pod begins."""

MAX_LINE = 300
"""Characters of an engine's last words."""
_OOM_KILLED = "OOMKilled"
_STUCK = (
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
)


def of_deployment(deployment: Object | None) -> Trouble | None:
    """Why a Deployment has fewer pods than it should: what refused to let them be made."""
    failure = condition((deployment or {}).get("status") or {}, "ReplicaFailure")
    if failure.get("status") != "True":
        return None
    return POD_REFUSED, f"no further pod can be made: {failure.get('message') or failure.get('reason')}"


def of_pods(pods: Iterable[Object]) -> Trouble | None:
    """Why a pod does not start or stay, if it says so: of several the worst, of the pod that has had it for longest."""
    found = [(trouble, pod["metadata"]) for pod in pods for trouble in _of_pod(pod)]
    ranked = sorted(found, key=lambda each: (_rank(each[0]), str(each[1].get("creationTimestamp", ""))))
    return ranked[0][0] if ranked else None


def finished(pod: Object) -> bool:
    """Whether it has ended and stands there for its log alone: evicted, or done."""
    return (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded")


def _rank(trouble: Trouble) -> int:
    return _WORST_FIRST.index(trouble[0])


def _of_pod(pod: Object) -> Iterator[Trouble]:
    name, status = f"pod {pod['metadata']['name']}", pod.get("status") or {}
    target = condition(status, "DisruptionTarget")
    if target.get("status") == "True":
        yield POD_EVICTED, f"{name} has to go: {target.get('reason')}: {target.get('message') or 'see its events'}"
    elif status.get("phase") == "Failed" and status.get("reason"):
        yield POD_EVICTED, f"{name}: {status['reason']}: {status.get('message') or 'see its events'}"
    if is_terminating(pod):
        return  # its containers end because they are told to
    for each in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        trouble = _of_container(pod, each)
        if trouble is not None:
            yield trouble[0], f"{name}, container {each.get('name')}: {trouble[1]}"
    scheduled = condition(status, "PodScheduled")
    if scheduled.get("status") == "False" and scheduled.get("reason") == UNSCHEDULABLE:
        yield UNSCHEDULABLE, f"{name}, {scheduled.get('message') or 'no node fits'}"


def _of_container(pod: Object, container: dict[str, Any]) -> Trouble | None:
    state = container.get("state") or {}
    ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
    waiting = state.get("waiting") or {}
    if container.get("ready") or (ended and not ended.get("exitCode")):
        return None
    if ended.get("reason") == _OOM_KILLED:
        limit = _memory(pod, str(container.get("name")))
        return OUT_OF_MEMORY, f"{_OOM_KILLED} at its memory limit of {limit}; give it more in resources.limits.memory"
    if ended:
        return CRASHING, _last_words(container, ended)
    if waiting.get("reason") in _STUCK:
        return POD_WAITS, f"{waiting['reason']}: {waiting.get('message') or 'see its log'}"
    return (PROBE_FAILS, "runs, and does not pass its readiness probe yet") if "running" in state else None


def _last_words(container: dict[str, Any], ended: dict[str, Any]) -> str:
    lines = [line for line in str(ended.get("message") or "").splitlines() if line.strip()]
    words = lines[-1].strip()[-MAX_LINE:] if lines else "see its log"
    times = f", {container['restartCount']} restarts" if container.get("restartCount") else ""
    return f"ended with code {ended.get('exitCode')} ({ended.get('reason') or 'Error'}{times}): {words}"


def _memory(pod: Object, name: str) -> str:
    for each in (pod.get("spec") or {}).get("containers") or []:
        if each.get("name") == name:
            return str(((each.get("resources") or {}).get("limits") or {}).get("memory") or "its node")
    return "its node"
