"""Services of KServe that somebody else keeps, with the statuses that KServe writes."""

from __future__ import annotations

from typing import Any

from disrouter_operator.kube.observed import REFERRED
from disrouter_operator.kube.resources import INFERENCE_SERVICES, LLM_INFERENCE_SERVICES, Object, Resource, ServiceKey

READY = {"type": "Ready", "status": "True"}


def _service(kind: Resource, name: str, spec: Object, status: Object | None) -> Object:
    metadata = {"name": name, "namespace": "default"}
    service: Object = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": spec}
    return service if status is None else service | {"status": status}


def inference_service(
    name: str = "llama",
    *arguments: str,
    at: str | None = "http://llama-predictor.default.svc.cluster.local",
    ready: Object | None = READY,
    **status: Any,
) -> Object:
    """A server of vLLM's own image in Standard mode."""
    engine = {
        "name": "kserve-container",
        "image": "vllm/vllm-openai:v0.32.0",
        "args": list(arguments or ("--model=meta-llama/Llama-3.1-8B", "--served-model-name=llama-8b", "--port=8080")),
        "ports": [{"containerPort": 8080, "protocol": "TCP"}],
    }
    said = {"conditions": [ready] if ready else []} | ({"address": {"url": at}} if at else {}) | status
    return _service(INFERENCE_SERVICES, name, {"predictor": {"containers": [engine]}}, said)


def of_runtime(name: str, format_: str, *arguments: str) -> Object:
    """A model whose container is a runtime's, with what the service adds to its arguments."""
    model = {"modelFormat": {"name": format_}, "storageUri": "hf://meta-llama/Llama-3.1-8B", "args": list(arguments)}
    status = {"conditions": [READY], "address": {"url": f"http://{name}-predictor.default.svc.cluster.local"}}
    return _service(INFERENCE_SERVICES, name, {"predictor": {"model": model}}, status)


def llm_inference_service(
    name: str = "phi", *addresses: Object, model: str | None = None, ready: Object | None = READY, **status: Any
) -> Object:
    """A service of KServe's own kind for language models."""
    named = {} if model is None else {"name": model}
    said = {"conditions": [ready] if ready else [], "addresses": list(addresses)} | status
    spec = {"model": {"uri": "hf://microsoft/Phi-4-mini-instruct", **named}, "replicas": 1}
    return _service(LLM_INFERENCE_SERVICES, name, spec, said)


def key(service: Object) -> ServiceKey:
    """What an agent refers to it by."""
    return ServiceKey(REFERRED[service["kind"]], service["metadata"]["name"])


def found(*services: Object) -> dict[ServiceKey, Object]:
    """As a reconcile has read them."""
    return {key(service): service for service in services}


def documented() -> dict[ServiceKey, Object]:
    """What the options of docs/serving.md refer to."""
    gateway = {"url": "http://gateway.kserve.svc.cluster.local/default/phi", "name": "gateway-internal"}
    return found(inference_service(), llm_inference_service("phi", gateway, model="phi-4"))
