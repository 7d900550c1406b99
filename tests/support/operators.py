"""The real operator in a thread, logged in as a service account that may do exactly what it needs."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from disrouter_operator import __main__ as process
from disrouter_operator.kube.api_server import ApiServer
from disrouter_operator.kube.resource_versions import ResourceVersions
from disrouter_operator.operator import Operator, Options
from disrouter_operator.settings import Settings
from support.controlplane import ControlPlane

OWNED = ["get", "list", "watch", "create", "patch", "delete"]
CREATED = ["get", "list", "watch", "create", "delete"]
"""Of kinds that are never patched."""
RULES: list[dict[str, Any]] = [
    {"apiGroups": ["disrouter.io"], "resources": ["selfroutingcascades"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["disrouter.io"], "resources": ["selfroutingcascades/status"], "verbs": ["patch"]},
    {"apiGroups": ["serving.kserve.io"], "resources": ["inferenceservices"], "verbs": OWNED},
    {"apiGroups": ["serving.kserve.io"], "resources": ["llminferenceservices"], "verbs": ["get"]},
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": OWNED},
    {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["patch"]},
    {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": OWNED},
    {"apiGroups": ["keda.sh"], "resources": ["scaledobjects"], "verbs": OWNED},
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": CREATED},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": OWNED},
    {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses"], "verbs": OWNED},
    {"apiGroups": ["gateway.networking.k8s.io"], "resources": ["httproutes"], "verbs": OWNED},
    {"apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": OWNED},
    {"apiGroups": ["trainer.kubeflow.org"], "resources": ["trainjobs"], "verbs": CREATED},
    {"apiGroups": [""], "resources": ["services", "configmaps"], "verbs": OWNED},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
    {"apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
]
"""All that the operator needs besides its Lease; the chart's role says the same."""
LEASE_RULES: list[dict[str, Any]] = [
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
    {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resourceNames": ["disrouter-operator"],
        "verbs": ["get", "patch", "delete"],
    },
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
]
"""In the namespace of the Lease and of the operator's own pod; the chart's role for the leader says the same."""

SETTINGS = Settings(sidecar_image="sidecar:test", training_image="trainer:test")
_NAME = "disrouter-operator"


def service_account(plane: ControlPlane, folder: Path) -> Path:
    """A kubeconfig of the operator's service account with its role."""
    named = {"metadata": {"name": _NAME}}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": _NAME, "namespace": "default"}}
    rbac = "rbac.authorization.k8s.io"
    role = {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", **named, "rules": RULES}
    binding = {
        "apiVersion": f"{rbac}/v1",
        "kind": "ClusterRoleBinding",
        **named,
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": _NAME},
        "subjects": [{"kind": "ServiceAccount", "name": _NAME, "namespace": "default"}],
    }
    token = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {
            "name": f"{_NAME}-token",
            "namespace": "default",
            "annotations": {"kubernetes.io/service-account.name": _NAME},
        },
    }
    plane.apply(account, role, binding, token)
    plane.wait(
        "the service account's token",
        lambda: "token" in (plane.get("secret", "default", f"{_NAME}-token").get("data") or {}),
    )
    data = plane.get("secret", "default", f"{_NAME}-token")["data"]
    return plane.kubeconfig_for(base64.b64decode(data["token"]).decode(), folder / "operator.kubeconfig")


def may_lead(plane: ControlPlane, namespace: str) -> None:
    """Give the operator's service account its Lease in a namespace."""
    named = {"metadata": {"name": f"{_NAME}-leader", "namespace": namespace}}
    rbac = "rbac.authorization.k8s.io"
    role = {"apiVersion": f"{rbac}/v1", "kind": "Role", **named, "rules": LEASE_RULES}
    binding = {
        "apiVersion": f"{rbac}/v1",
        "kind": "RoleBinding",
        **named,
        "roleRef": {"apiGroup": rbac, "kind": "Role", "name": f"{_NAME}-leader"},
        "subjects": [{"kind": "ServiceAccount", "name": _NAME, "namespace": "default"}],
    }
    plane.apply(role, binding)


@contextmanager
def running(kubeconfig: Path | None, options: Options) -> Iterator[Operator]:
    """An operator in a thread of its own; Kopf reads KUBECONFIG, which the caller sets.

    Without a kubeconfig it logs in as its process does: in a pod, or where the caller makes it look like one.
    """
    started = threading.Event()
    box: list[Any] = []

    async def main() -> None:
        stop = asyncio.Event()
        async with await (api_client(kubeconfig) if kubeconfig is not None else _own_client()) as client:
            versions = ResourceVersions(options.namespaces)
            server = ApiServer(client, versions=versions)
            operator = Operator(server, options, versions=versions, probe=server)
            box.extend([operator, asyncio.get_running_loop(), stop])
            started.set()
            await operator.run(stop)

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="operator")
    thread.start()
    assert started.wait(30)
    operator, loop, stop = box
    try:
        yield operator
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        assert not thread.is_alive(), "the operator did not stop"


async def _own_client() -> ApiClient:
    return ApiClient(await process._configuration())


async def api_client(kubeconfig: Path) -> ApiClient:
    """A client that the caller closes."""
    configuration = Configuration()
    await config.load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
    return ApiClient(configuration)
