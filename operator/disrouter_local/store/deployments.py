"""Deployment -> Pods, for the on-disk store; a cluster's kube-controller-manager does it there.

A pod is known by the hash of the template that made it: as long as that stays, the pod is never touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from disrouter_local.objects import (
    controlled_by,
    digest,
    is_deleting,
    is_true,
    key_of,
    labels_of,
    owner_reference,
    uid_of,
    with_condition,
)
from disrouter_operator.kube.client import Kube
from disrouter_operator.kube.resources import DEPLOYMENTS, PODS, Object

TEMPLATE_HASH = "pod-template-hash"


@dataclass(frozen=True)
class Plan:
    """How many pods of the current template to make, and which pods to delete."""

    create: int
    delete: tuple[Object, ...]


async def sync(kube: Kube, now: datetime) -> None:
    """One step for every Deployment."""
    pods = await kube.list(PODS, None)
    for deployment in await kube.list(DEPLOYMENTS, None):
        own = controlled_by(deployment, pods)
        todo = plan(deployment, own)
        for pod in todo.delete:
            await kube.delete(PODS, *key_of(pod), uid=uid_of(pod))
        for _ in range(todo.create):
            await kube.create(build_pod(deployment))
        status = build_status(deployment, own, now)
        if status != deployment.get("status"):
            await kube.patch_status({**deployment, "status": status})


def plan(deployment: Object, pods: list[Object]) -> Plan:
    """`Recreate` makes room first; a rolling update keeps to `maxSurge` and `maxUnavailable`, as whole numbers."""
    wanted = _replicas(deployment)
    new, old = _split(deployment, pods)
    alive_old = tuple(pod for pod in old if not is_deleting(pod))
    if _recreates(deployment):
        missing = 0 if old else max(0, wanted - len(new))
        return Plan(missing, alive_old + tuple(new[wanted:]))
    surge, unavailable = _rolling(deployment)
    room = wanted + surge - len(new) - len(alive_old)
    return Plan(
        max(0, min(wanted - len(new), room)), _replaced(new, alive_old, wanted - unavailable) + tuple(new[wanted:])
    )


def _replaced(new: list[Object], old: tuple[Object, ...], least: int) -> tuple[Object, ...]:
    """The old pods that may go, so that `least` still serve and each new one that does not yet has its place.

    Those that do not serve go first (k8s.io/kubernetes, pkg/controller/deployment/rolling.go).
    """
    ready_new, ready_old = (sum(is_true(pod, "Ready") for pod in pods) for pods in (new, old))
    silent = tuple(pod for pod in old if not is_true(pod, "Ready"))
    most = max(0, len(old) + ready_new - least)
    serving = tuple(pod for pod in old if pod not in silent)
    spare = max(0, min(ready_new + ready_old - least, most - len(silent)))
    return silent[:most] + serving[:spare]


def _rolling(deployment: Object) -> tuple[int, int]:
    """Pods beyond the wanted ones, and pods that may be missing, while they are replaced."""
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    return int(rolling.get("maxSurge", 1)), int(rolling.get("maxUnavailable", 0))


def build_pod(deployment: Object) -> Object:
    """A pod of the current template."""
    template = deployment["spec"]["template"]
    metadata = template.get("metadata") or {}
    hash_ = template_hash(deployment)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{deployment['metadata']['name']}-{hash_}-",
            "namespace": key_of(deployment).namespace,
            "labels": {**(metadata.get("labels") or {}), TEMPLATE_HASH: hash_},
            "annotations": dict(metadata.get("annotations") or {}),
            "ownerReferences": [owner_reference(deployment)],
        },
        "spec": template["spec"],
    }


def build_status(deployment: Object, pods: list[Object], now: datetime) -> dict[str, Any]:
    """As the Deployment controller reports."""
    wanted = _replicas(deployment)
    new, _ = _split(deployment, pods)
    alive = [pod for pod in pods if not is_deleting(pod)]
    ready = sum(is_true(pod, "Ready") for pod in alive)
    done = sum(is_true(pod, "Ready") for pod in new) >= wanted and len(alive) == len(new)
    return {
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": len(alive),
        "updatedReplicas": len(new),
        "readyReplicas": ready,
        "availableReplicas": ready,
        "unavailableReplicas": max(0, wanted - ready),
        "conditions": [
            with_condition(
                deployment,
                "Available",
                status=ready >= wanted,
                reason="MinimumReplicasAvailable" if ready >= wanted else "MinimumReplicasUnavailable",
                now=now,
            ),
            with_condition(
                deployment,
                "Progressing",
                status=True,
                reason="NewReplicaSetAvailable" if done else "ReplicaSetUpdated",
                now=now,
            ),
        ],
    }


def template_hash(deployment: Object) -> str:
    """Changes with anything in the pod template."""
    return digest(deployment["spec"]["template"])


def _split(deployment: Object, pods: list[Object]) -> tuple[list[Object], list[Object]]:
    """Living pods of the current template, oldest first; and pods of older templates, ending ones included."""
    hash_ = template_hash(deployment)
    current = [pod for pod in pods if labels_of(pod).get(TEMPLATE_HASH) == hash_]
    new = [pod for pod in current if not is_deleting(pod)]
    new.sort(key=lambda pod: (not is_true(pod, "Ready"), pod["metadata"]["creationTimestamp"]))
    return new, [pod for pod in pods if labels_of(pod).get(TEMPLATE_HASH) != hash_]


def _replicas(deployment: Object) -> int:
    return int(deployment["spec"].get("replicas", 1))


def _recreates(deployment: Object) -> bool:
    return bool((deployment["spec"].get("strategy") or {}).get("type") == "Recreate")
