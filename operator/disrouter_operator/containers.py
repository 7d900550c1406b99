"""The two containers of an agent's pod: the engine (vLLM) and the sidecar that owns the port."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from disrouter import names, uris
from disrouter.api import Agent
from disrouter.api.quantity import ResourceRequirements
from disrouter.artifacts import served_subpath
from disrouter.routes import ROUTES_FILE
from disrouter_operator.cascade import Cascade
from disrouter_operator.resources import Object

ENGINE = "kserve-container"
"""Must be containers[0] and must have this name (KServe service_reconciler.go)."""
SIDECAR = "transformer-container"
"""KServe routes the Service to a container of this name."""
MODELS_MOUNT = "/mnt/models"
ROUTES_MOUNT = "/etc/disrouter"
ROUTES_VOLUME = "routes"
MODEL_VOLUME = "model"
SERVER = ["python3", "-m", "vllm.entrypoints.openai.api_server"]
RESTRICTED: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""What vLLM's image, which runs as root, still allows."""
NON_ROOT: Mapping[str, Any] = {**RESTRICTED, "runAsNonRoot": True}

GPU = "nvidia.com/gpu"
_ENGINE_REQUESTS = {"cpu": "2", "memory": "8Gi"}
_ENGINE_LIMITS = {"cpu": "8", "memory": "32Gi"}
_SIDECAR_RESOURCES = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}}
_ENGINE_START_SECONDS = 3600
"""A first start downloads and compiles; the kubelet restarts an engine that is not healthy by then."""
LINGER_SECONDS = 5
"""How long a pod that ends still takes new requests: every node's proxy learns of its end within a few seconds."""
DRAIN_SECONDS = 60
"""How long requests in flight get after that; a long streamed answer takes about a minute."""
ENGINE_HOLD_SECONDS = LINGER_SECONDS + DRAIN_SECONDS + 2
"""How long the engine is kept from its SIGTERM, on which vLLM aborts what it generates. The kubelet signals all of a
pod's containers at once, and only a preStop hook orders their ends; the margin is for the sidecar's last bytes."""
GRACE_SECONDS = ENGINE_HOLD_SECONDS + 15
"""The pod's whole time to end. The hook counts against it; what is left is for the engine's own shutdown."""


def engine(cascade: Cascade, agent: Agent, run: str | None, *, knative: bool) -> Object:
    """vLLM serving the base model, or the weights of `run`."""
    assert agent.model is not None, "an external agent has no engine"
    model = MODELS_MOUNT if run is not None else _model_argument(agent.model.uri)
    env = [{"name": "ENGINE_PORT", "value": str(names.ENGINE_PORT)}]
    if run is None and uris.parse(agent.model.uri).scheme == "s3":
        env.append({"name": "STORAGE_URI", "value": agent.model.uri})
    container: Object = {
        "name": ENGINE,
        "image": agent.engine.image,
        "command": list(SERVER),
        "args": [
            f"--model={model}",
            f"--served-model-name={agent.name}",
            "--host=0.0.0.0",
            "--port=$(ENGINE_PORT)",
            *agent.engine.args,
        ],
        "env": env,
        "resources": complete_resources(agent.resources, _ENGINE_REQUESTS, _ENGINE_LIMITS),
        "securityContext": dict(RESTRICTED),
    }
    if model_volume(cascade, agent, run) is not None:
        container["volumeMounts"] = [_model_mount(cascade, agent, run)]
    # Knative allows one port in a pod, no probe on a container without one (there the sidecar vouches for vLLM), and no
    # hook: its queue-proxy gives every container one of its own that waits until the requests in flight are done.
    return container if knative else container | _engine_port_and_probes() | _held_until_drained()


def sidecar(cascade: Cascade, agent: Agent, image: str, engine_env: list[Object]) -> Object:
    """The forwarding sidecar; `engine_env` says where its engine is. Configuration is its environment and routes."""
    return {
        "name": SIDECAR,
        "image": image,
        "env": [
            {"name": "DISROUTER_CASCADE", "value": cascade.name},
            {"name": "DISROUTER_AGENT", "value": agent.name},
            {"name": "DISROUTER_PORT", "value": str(names.SIDECAR_PORT)},
            {"name": "DISROUTER_ROUTES", "value": f"{ROUTES_MOUNT}/{ROUTES_FILE}"},
            {"name": "DISROUTER_LINGER_SECONDS", "value": str(LINGER_SECONDS)},
            {"name": "DISROUTER_DRAIN_SECONDS", "value": str(DRAIN_SECONDS)},
            *engine_env,
        ],
        "ports": [{"name": "http1", "containerPort": names.SIDECAR_PORT, "protocol": "TCP"}],
        "readinessProbe": {**_probe("/readyz", names.SIDECAR_PORT), "periodSeconds": 5, "failureThreshold": 2},
        "livenessProbe": {**_probe("/healthz", names.SIDECAR_PORT), "periodSeconds": 10, "failureThreshold": 6},
        "resources": {key: dict(value) for key, value in _SIDECAR_RESOURCES.items()},
        "securityContext": {**NON_ROOT, "readOnlyRootFilesystem": True},
        "volumeMounts": [{"name": ROUTES_VOLUME, "mountPath": ROUTES_MOUNT, "readOnly": True}],
    }


def local_engine_env(agent: Agent) -> list[Object]:
    """The engine beside the sidecar, in the same pod."""
    return [
        {"name": "ENGINE_PORT", "value": str(names.ENGINE_PORT)},
        {"name": "DISROUTER_ENGINE_URL", "value": "http://127.0.0.1:$(ENGINE_PORT)"},
        {"name": "DISROUTER_ENGINE_MODEL", "value": agent.name},
    ]


def routes_volume(cascade: Cascade) -> Object:
    """The route table as a directory, so that the kubelet refreshes it in place."""
    return {"name": ROUTES_VOLUME, "configMap": {"name": names.routes_config_map(cascade.name)}}


def model_volume(cascade: Cascade, agent: Agent, run: str | None) -> Object | None:
    """The claim that holds what is served; None where the engine fetches it itself."""
    claim = _claim(cascade, agent, run)
    if claim is None:
        return None
    return {"name": MODEL_VOLUME, "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}


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


def _engine_port_and_probes() -> Object:
    health = _probe("/health", names.ENGINE_PORT)
    period = 10
    return {
        "ports": [{"name": "engine", "containerPort": names.ENGINE_PORT, "protocol": "TCP"}],
        "startupProbe": {**health, "periodSeconds": period, "failureThreshold": _ENGINE_START_SECONDS // period},
        "readinessProbe": {**health, "periodSeconds": 5, "failureThreshold": 3},
        "livenessProbe": {**health, "periodSeconds": period, "failureThreshold": 6},
    }


def _held_until_drained() -> Object:
    return {"lifecycle": {"preStop": {"exec": {"command": ["sleep", str(ENGINE_HOLD_SECONDS)]}}}}


def _probe(path: str, port: int) -> Object:
    return {"httpGet": {"path": path, "port": port}, "timeoutSeconds": 5}


def _model_argument(uri: str) -> str:
    parsed = uris.parse(uri)
    return parsed.path if parsed.scheme == "hf" else MODELS_MOUNT


def _claim(cascade: Cascade, agent: Agent, run: str | None) -> str | None:
    if run is not None:
        assert cascade.spec.training is not None, "only training leaves runs"
        return cascade.spec.training.artifacts.persistent_volume_claim
    uri = uris.parse(agent.model.uri) if agent.model is not None else None
    return uri.host if uri is not None and uri.scheme == "pvc" else None


def _model_mount(cascade: Cascade, agent: Agent, run: str | None) -> Object:
    assert agent.model is not None
    path = uris.parse(agent.model.uri).path if run is None else served_subpath(cascade.name, agent.name, run)
    return {"name": MODEL_VOLUME, "mountPath": MODELS_MOUNT, "subPath": path.strip("/"), "readOnly": True}
