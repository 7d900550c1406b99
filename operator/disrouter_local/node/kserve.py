"""Stand-in for KServe's controller in Standard mode: InferenceService -> Deployment, Service and status.

Source: KServe v0.20 pkg/controller/v1beta1/inferenceservice (components/predictor.go, reconcilers/deployment,
reconcilers/service, pkg/apis/serving/v1beta1/inference_service_status.go). Facts that callers rely on: the names
`<isvc>-predictor`, labels and annotations that reach the pods, replicas that are left to somebody else, Service port
80 -> the first port of `transformer-container`, Ready = PredictorReady and IngressReady, and `modelStatus` with its
last failure. On a cluster a test compares what is made here with what KServe's manager makes of the same objects
(tests/cluster/test_kserve.py).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from disrouter import names
from disrouter_local.objects import covers, is_true, key_of, owner_reference, with_condition
from disrouter_operator.kube.client import Kube
from disrouter_operator.kube.resources import DEPLOYMENTS, INFERENCE_SERVICES, PODS, Object
from disrouter_operator.manifests.containers import ENGINE, SIDECAR

Address = Callable[[str, str], str]
"""URL of a Service by name and namespace."""

LABEL_ISVC = "serving.kserve.io/inferenceservice"
NAME_VARIABLE = "INFERENCE_SERVICE_NAME"
_EXTENSIONS = frozenset(
    {
        "annotations",
        "autoScaling",
        "batcher",
        "canaryTrafficPercent",
        "containerConcurrency",
        "deploymentStrategy",
        "labels",
        "logger",
        "maxReplicas",
        "minReplicas",
        "model",
        "scaleMetric",
        "scaleMetricType",
        "scaleTarget",
        "timeout",
        "workerSpec",
    }
)
"""Fields of a predictor that are KServe's own; the rest is a PodSpec."""


async def sync(kube: Kube, address: Address, now: datetime) -> None:
    """One step for every InferenceService."""
    services = await kube.list(INFERENCE_SERVICES, None)
    pods = await kube.list(PODS, None) if services else []
    for isvc in services:
        await kube.apply(build_deployment(isvc))
        await kube.apply(build_service(isvc))
        namespace, name = key_of(isvc)
        deployment = await kube.get(DEPLOYMENTS, namespace, names.predictor(name))
        status = build_status(isvc, deployment, _pods_of(isvc, pods), address, now)
        if not covers(isvc.get("status"), status):
            await kube.patch_status({**isvc, "status": status})


def build_deployment(isvc: Object) -> Object:
    """The predictor's Deployment."""
    predictor = isvc["spec"]["predictor"]
    annotations = {**(isvc["metadata"].get("annotations") or {}), **(predictor.get("annotations") or {})}
    labels = {**(isvc["metadata"].get("labels") or {}), **(predictor.get("labels") or {}), **_selector(isvc)}
    labels |= {LABEL_ISVC: isvc["metadata"]["name"], "component": "predictor"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(isvc),
        "spec": {
            "selector": {"matchLabels": _selector(isvc)},
            "strategy": predictor.get("deploymentStrategy") or {"type": "RollingUpdate"},
            "template": {
                "metadata": {"labels": labels, "annotations": annotations},
                "spec": _pod_spec(isvc),
            },
        },
    }


def _pod_spec(isvc: Object) -> Object:
    """The predictor's own fields; engine and sidecar are told whose they are."""
    predictor = isvc["spec"]["predictor"]
    name = {"name": NAME_VARIABLE, "value": isvc["metadata"]["name"]}
    spec = {field: value for field, value in predictor.items() if field not in _EXTENSIONS}
    spec["containers"] = [
        {**each, "env": [*(each.get("env") or []), name]} if each["name"] in (ENGINE, SIDECAR) else each
        for each in predictor["containers"]
    ]
    return spec


def build_service(isvc: Object) -> Object:
    """The predictor's Service: port 80 to the port of the container in front."""
    containers = isvc["spec"]["predictor"]["containers"]
    front = next((item for item in containers if item["name"] == SIDECAR), containers[0])
    ports = front.get("ports") or [{"containerPort": names.SIDECAR_PORT}]
    port = {"name": "http", "port": 80, "targetPort": ports[0]["containerPort"], "protocol": "TCP"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(isvc),
        "spec": {"selector": _selector(isvc), "ports": [port]},
    }


def build_status(
    isvc: Object, deployment: Object | None, pods: list[Object], address: Address, now: datetime
) -> dict[str, Any]:
    """Conditions, address and model status. Ready stays True on the old pod while a new one starts, as in KServe."""
    namespace, name = key_of(isvc)
    url = address(names.predictor(name), namespace)
    ready = deployment is not None and is_true(deployment, "Available")
    reason = "" if ready else "MinimumReplicasUnavailable"
    conditions = [
        with_condition(isvc, type_, status=ready, reason=reason, now=now)
        for type_ in ("IngressReady", "PredictorReady", "Ready")
    ]
    return {
        "observedGeneration": isvc["metadata"]["generation"],
        "address": {"url": url},
        "url": url,
        "conditions": conditions,
        "components": {"predictor": {"url": url}},
        "deploymentMode": "Standard",
        "modelStatus": _model_status(pods, ready),
    }


def _model_status(pods: list[Object], ready: bool) -> dict[str, Any]:
    failure = next((found for pod in pods if (found := _failure(pod)) is not None), None)
    if failure is not None and not ready:
        return {
            "transitionStatus": "BlockedByFailedLoad",
            "states": {"activeModelState": "", "targetModelState": "FailedToLoad"},
            "lastFailureInfo": failure,
        }
    state = "Loaded" if ready else "Loading"
    return {
        "transitionStatus": "UpToDate" if ready else "InProgress",
        "states": {"activeModelState": "Loaded" if ready else "", "targetModelState": state},
    }


def _failure(pod: Object) -> dict[str, Any] | None:
    """Why the engine of a pod cannot load, once it is restarted again and again."""
    for status in (pod.get("status") or {}).get("containerStatuses") or []:
        waiting = (status.get("state") or {}).get("waiting") or {}
        if status["name"] == ENGINE and waiting.get("reason") in ("CrashLoopBackOff", "CreateContainerError"):
            last = (status.get("lastState") or {}).get("terminated") or {}
            return {
                "reason": "ModelLoadFailed",
                "message": last.get("message") or waiting.get("message") or "",
                "exitCode": int(last.get("exitCode", 1)),
            }
    return None


def _pods_of(isvc: Object, pods: list[Object]) -> list[Object]:
    name = isvc["metadata"]["name"]
    return [pod for pod in pods if (pod["metadata"].get("labels") or {}).get(LABEL_ISVC) == name]


def _selector(isvc: Object) -> dict[str, str]:
    return {"app": f"isvc.{names.predictor(isvc['metadata']['name'])}"}


def _metadata(isvc: Object) -> dict[str, Any]:
    namespace, name = key_of(isvc)
    return {
        "name": names.predictor(name),
        "namespace": namespace,
        "labels": {**(isvc["metadata"].get("labels") or {}), LABEL_ISVC: name},
        "ownerReferences": [owner_reference(isvc)],
    }
