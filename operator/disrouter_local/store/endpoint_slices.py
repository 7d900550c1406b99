"""Service -> EndpointSlice, for the on-disk store; a cluster's kube-controller-manager does it there."""

from __future__ import annotations

from typing import Any

from disrouter_local.objects import is_deleting, is_true, key_of, labels_of, owner_reference, selects, uid_of
from disrouter_operator.kube.client import Kube
from disrouter_operator.kube.resources import ENDPOINT_SLICES, PODS, SERVICES, Object
from disrouter_operator.plan.ready_endpoints import SERVICE_NAME


async def sync(kube: Kube) -> None:
    """One step for every Service that selects pods."""
    pods = await kube.list(PODS, None)
    for service in await kube.list(SERVICES, None):
        if service["spec"].get("selector"):
            await kube.apply(build(service, pods))


def build(service: Object, pods: list[Object]) -> Object:
    """The endpoints of a Service: its pods with an address, ready or not, under the Service's own labels."""
    namespace, name = key_of(service)
    chosen = [
        pod
        for pod in pods
        if key_of(pod).namespace == namespace
        and selects(service["spec"]["selector"], pod)
        and (pod.get("status") or {}).get("podIP")
    ]
    return {
        "apiVersion": ENDPOINT_SLICES.api_version,
        "kind": ENDPOINT_SLICES.kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {**labels_of(service), SERVICE_NAME: name},
            "ownerReferences": [owner_reference(service)],
        },
        "addressType": "IPv4",
        "endpoints": [_endpoint(pod) for pod in sorted(chosen, key=key_of)],
    }


def _endpoint(pod: Object) -> dict[str, Any]:
    serving = is_true(pod, "Ready")
    return {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {
            "ready": serving and not is_deleting(pod),
            "serving": serving,
            "terminating": is_deleting(pod),
        },
        "targetRef": {
            "kind": PODS.kind,
            "namespace": key_of(pod).namespace,
            "name": key_of(pod).name,
            "uid": uid_of(pod),
        },
    }
