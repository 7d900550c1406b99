"""What the containers of an agent's pod and of the trainer have in common: names, mounts, resources, security."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from disrouter.api import EnvVar
from disrouter.api.pod import Sourced
from disrouter.api.quantity import ResourceRequirements
from disrouter_operator.kube.resources import Object

ENGINE = "kserve-container"
"""Must be containers[0] and must have this name (KServe service_reconciler.go)."""
SIDECAR = "transformer-container"
"""KServe routes the Service to a container of this name."""
MODELS_MOUNT = "/mnt/models"
ADAPTERS_MOUNT = "/mnt/adapters"
"""Where a claim of LoRA adapters is mounted whole, so that another path of it needs no other pod."""
ROUTES_MOUNT = "/etc/disrouter"
ROUTES_VOLUME = "routes"
MODEL_VOLUME = "model"
ADAPTERS_VOLUME = "adapters"
RESTRICTED: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""What an image that runs as root still allows."""
POD_SECURITY: Mapping[str, Any] = {"seccompProfile": {"type": "RuntimeDefault"}}
"""On the pod, so that containers which others inject inherit it."""
NON_ROOT: Mapping[str, Any] = {**RESTRICTED, "runAsNonRoot": True}
GPU = "nvidia.com/gpu"
TRAINER_USER = 65532
"""Whom the trainer's image names."""
FILE_GROUP = 65532
"""Group of mounted volumes, so that who is not root writes to a fresh claim: the trainer, and an engine to a cache."""

LINGER_SECONDS = 5
"""How long a pod that ends still takes new requests: every node's proxy learns of its end within a few seconds."""
DRAIN_SECONDS = 60
"""How long requests in flight get after that; a long streamed answer takes about a minute."""
ENGINE_HOLD_SECONDS = LINGER_SECONDS + DRAIN_SECONDS + 2
"""How long the engine is kept from its SIGTERM at most; the margin is for the sidecar's last bytes."""
GRACE_SECONDS = ENGINE_HOLD_SECONDS + 15
"""The pod's whole time to end. The hook counts against it; what is left is for the engine's own shutdown."""


def complete_resources(
    wanted: ResourceRequirements | None, requests: Mapping[str, str], limits: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """Requests and limits in full: KServe would fill each missing one with 1 CPU or 2 GiB.

    `wanted` replaces the default of one GPU; CPU and memory that it leaves open keep their defaults.
    """
    asked = ResourceRequirements(limits={GPU: "1"}) if wanted is None else wanted
    want_requests, want_limits = asked.requests or {}, asked.limits or {}
    full_requests = {**requests, **want_limits, **want_requests}
    full_limits = {**limits, **want_requests, **want_limits}
    return {
        "requests": dict(sorted(full_requests.items())),
        "limits": dict(sorted(full_limits.items())),
    }


def probe(path: str, port: int, *, tls: bool = False) -> Object:
    """An HTTP probe of the kubelet, which does not check certificates."""
    scheme = {"scheme": "HTTPS"} if tls else {}
    return {"httpGet": {"path": path, "port": port, **scheme}, "timeoutSeconds": 5}


def environment(variables: Iterable[EnvVar]) -> list[Object]:
    """The manifest's variables as a container has them."""
    return [variable(each.name, each) for each in variables]


def variable(name: str, source: Sourced) -> Object:
    """A variable whose value is in the manifest, or in a Secret."""
    if source.secret_key_ref is None:
        return {"name": name, "value": source.value}
    return {"name": name, "valueFrom": {"secretKeyRef": source.secret_key_ref.dump()}}


def claim_volume(name: str, claim: str) -> Object:
    """A claim that the pod reads."""
    return {"name": name, "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
