"""The kubelet's loop: pods of the API on one side, running pods on the other."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from disrouter_local.objects import Clock, covers, is_deleting, key_of, selects, stamp, uid_of
from disrouter_local.pods.pod import Host, Inputs, PodRunner
from disrouter_local.store.jobs import NODE_SHUTDOWN
from disrouter_operator.errors import Conflict
from disrouter_operator.kube.client import Kube
from disrouter_operator.kube.resources import CONFIG_MAPS, SECRETS, Object

logger = logging.getLogger(__name__)


class NodeKube(Kube, Protocol):
    """What a node needs beside the control plane's verbs."""

    async def remove_pod(self, pod: Object) -> None:
        """Say that a deleted pod's processes have ended: the object goes."""
        ...


class Kubelet:
    """Runs the pods that it is given. `changed` wakes whoever calls `sync`."""

    def __init__(self, kube: NodeKube, host: Host, changed: Callable[[], None]) -> None:
        self._kube = kube
        self._host = host
        self._changed = changed
        self._runners: dict[str, PodRunner] = {}

    async def sync(self, pods: list[Object]) -> None:
        """One step: start what is new, stop what is deleted, report what changed."""
        namespaces = {key_of(pod).namespace for pod in pods}
        inputs = {namespace: await self._inputs(namespace) for namespace in namespaces}
        for pod in pods:
            await self._sync_pod(pod, inputs[key_of(pod).namespace])
        for uid in self._runners.keys() - {uid_of(pod) for pod in pods}:
            self._runners[uid].begin_stop()
            if self._runners[uid].stopped:
                del self._runners[uid]

    def backends(self, pods: list[Object], selector: Mapping[str, str], target: int | str) -> tuple[int, ...]:
        """Ports on this machine of the ready pods that a Service selects."""
        found = []
        for pod in pods:
            runner = self._runners.get(uid_of(pod))
            if runner is None or is_deleting(pod) or not runner.ready or not selects(selector, pod):
                continue
            port = runner.port(target)
            if port is not None:
                found.append(port)
        return tuple(sorted(found))

    async def close(self) -> None:
        """Stop every pod, in parallel."""
        await asyncio.gather(*(runner.wait_stopped() for runner in self._runners.values()))

    async def _sync_pod(self, pod: Object, inputs: Inputs) -> None:
        runner = self._runners.get(uid_of(pod))
        if is_deleting(pod):
            await self._sync_deleted(pod, runner)
            return
        if runner is None:
            if _is_over(pod):
                return
            if _was_running(pod):
                await self._report(pod, lost_status(pod, self._host.clock))
                return
            logger.info("starting pod %s/%s", *key_of(pod))
            runner = self._runners[uid_of(pod)] = PodRunner(pod, self._host, self._changed)
        runner.update(inputs)
        await self._report(pod, runner.status(pod))

    async def _sync_deleted(self, pod: Object, runner: PodRunner | None) -> None:
        if runner is not None:
            runner.begin_stop()
            if not runner.stopped:
                return
            del self._runners[runner.uid]
        await self._kube.remove_pod(pod)

    async def _report(self, pod: Object, status: dict[str, Any]) -> None:
        if not covers(pod.get("status"), status):
            merged = {**(pod.get("status") or {}), **status}
            with contextlib.suppress(Conflict):  # somebody wrote the pod meanwhile: the next step sees it
                await self._kube.patch_status({**pod, "status": merged})

    async def _inputs(self, namespace: str) -> Inputs:
        config_maps = await self._kube.list(CONFIG_MAPS, namespace)
        secrets = await self._kube.list(SECRETS, namespace)
        return Inputs({key_of(obj).name: obj for obj in config_maps}, {key_of(obj).name: obj for obj in secrets})


def lost_status(pod: Object, clock: Clock) -> dict[str, Any]:
    """Status of a Job's pod that ran when an earlier runtime went away: failed, and not by its own fault."""
    ended = {"exitCode": 143, "reason": NODE_SHUTDOWN, "finishedAt": stamp(clock())}
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return {
        "phase": "Failed",
        "reason": NODE_SHUTDOWN,
        "message": "the runtime ended while the pod ran",
        "containerStatuses": [{**item, "ready": False, "state": {"terminated": ended}} for item in statuses],
    }


def _phase(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase", "Pending"))


def _is_over(pod: Object) -> bool:
    return _phase(pod) in ("Succeeded", "Failed")


def _was_running(pod: Object) -> bool:
    return pod["spec"].get("restartPolicy", "Always") != "Always" and _phase(pod) == "Running"
