"""The sidecar of an agent's pod: it owns the port, and its environment says where engine, routes and Secrets are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from disrouter import names
from disrouter.api import Agent, CascadeSpec
from disrouter.api.agent import External, Header
from disrouter.api.pod import SecretKey
from disrouter.routes import ROUTES_FILE
from disrouter_operator.kube.resources import Object
from disrouter_operator.manifests import containers
from disrouter_operator.manifests.cascade import Cascade
from disrouter_operator.manifests.containers import DRAIN_SECONDS, LINGER_SECONDS, ROUTES_MOUNT, ROUTES_VOLUME

API_KEYS_MOUNT = "/etc/disrouter-api-keys"
HOP_MOUNT = "/etc/disrouter-hop"
TLS_MOUNT = "/etc/disrouter-tls"
_TLS_FILES = ("tls.crt", "tls.key", "ca.crt")
_RESOURCES = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}}


@dataclass(frozen=True)
class Provider:
    """An OpenAI API that somebody else serves, as a sidecar asks it."""

    url: str
    """All that stands before `/chat/completions`."""
    model: str
    """Its name of the model."""
    api_key: SecretKey | None = None
    headers: tuple[Header, ...] = ()
    health: str | None = None
    """What says 200 while it serves; None: it is not asked, and taken to serve."""

    @classmethod
    def of(cls, given: External) -> Self:
        """What an agent names as `external`. Nobody knows a path of every provider that tells its health."""
        return cls(given.url.rstrip("/"), given.model, given.api_key_secret_ref, given.headers)


def container(cascade: Cascade, agent: Agent, image: str, provider: Provider | None = None) -> Object:
    """The forwarding sidecar of an agent, in front of a provider or of the engine beside it."""
    tls = cascade.spec.tls is not None
    port = names.SIDECAR_PORT
    return {
        "name": containers.SIDECAR,
        "image": image,
        "env": [
            {"name": "DISROUTER_CASCADE", "value": cascade.name},
            {"name": "DISROUTER_AGENT", "value": agent.name},
            {"name": "DISROUTER_PORT", "value": str(port)},
            {"name": "DISROUTER_ROUTES", "value": f"{ROUTES_MOUNT}/{ROUTES_FILE}"},
            {"name": "DISROUTER_LINGER_SECONDS", "value": str(LINGER_SECONDS)},
            {"name": "DISROUTER_DRAIN_SECONDS", "value": str(DRAIN_SECONDS)},
            *_secret_env(cascade.spec),
            *(_engine_env(agent) if provider is None else _provider_env(provider)),
        ],
        "ports": [{"name": "http1", "containerPort": port, "protocol": "TCP"}],
        "readinessProbe": {**containers.probe("/readyz", port, tls=tls), "periodSeconds": 5, "failureThreshold": 2},
        "livenessProbe": {**containers.probe("/healthz", port, tls=tls), "periodSeconds": 10, "failureThreshold": 6},
        "resources": {key: dict(value) for key, value in _RESOURCES.items()},
        "securityContext": {**containers.NON_ROOT, "readOnlyRootFilesystem": True},
        "volumeMounts": [
            {"name": volume["name"], "mountPath": path, "readOnly": True} for path, volume in _mounts(cascade)
        ],
    }


def volumes(cascade: Cascade) -> list[Object]:
    """What the sidecar reads, as directories that the kubelet refreshes in place: routes, keys, certificates."""
    return [volume for _, volume in _mounts(cascade)]


def _mounts(cascade: Cascade) -> list[tuple[str, Object]]:
    auth, tls = cascade.spec.auth, cascade.spec.tls
    routes = {"name": ROUTES_VOLUME, "configMap": {"name": names.routes_config_map(cascade.name)}}
    mounts: list[tuple[str, Object]] = [(ROUTES_MOUNT, routes)]
    if auth.api_keys_secret is not None:
        mounts.append((API_KEYS_MOUNT, _secret("api-keys", auth.api_keys_secret)))
    if auth.hop_token_secret_ref is not None:
        reference = auth.hop_token_secret_ref
        mounts.append((HOP_MOUNT, _secret("hop-token", reference.name, reference.key)))
    if tls is not None:
        mounts.append((TLS_MOUNT, _secret("tls", tls.secret_name, *_TLS_FILES)))
    return mounts


def _secret(volume: str, name: str, *keys: str) -> Object:
    """A Secret as a directory; with `keys`, of those alone."""
    items = {"items": [{"key": key, "path": key} for key in keys]} if keys else {}
    return {"name": volume, "secret": {"secretName": name, **items}}


def _secret_env(spec: CascadeSpec) -> list[Object]:
    env: list[Object] = []
    if spec.auth.api_keys_secret is not None:
        env.append({"name": "DISROUTER_API_KEYS", "value": API_KEYS_MOUNT})
    if spec.auth.hop_token_secret_ref is not None:
        env.append({"name": "DISROUTER_HOP_TOKEN", "value": f"{HOP_MOUNT}/{spec.auth.hop_token_secret_ref.key}"})
    if spec.tls is not None:
        env.append({"name": "DISROUTER_TLS", "value": TLS_MOUNT})
    return env


def _engine_env(agent: Agent) -> list[Object]:
    """The engine beside the sidecar, in the same pod."""
    return [
        {"name": "ENGINE_PORT", "value": str(names.ENGINE_PORT)},
        {"name": "DISROUTER_ENGINE_URL", "value": "http://127.0.0.1:$(ENGINE_PORT)"},
        {"name": "DISROUTER_ENGINE_MODEL", "value": agent.name},
    ]


def _provider_env(provider: Provider) -> list[Object]:
    env: list[Object] = [
        {"name": "DISROUTER_ENGINE_URL", "value": provider.url},
        {"name": "DISROUTER_ENGINE_MODEL", "value": provider.model},
        {"name": "DISROUTER_EXTERNAL", "value": "true"},
    ]
    if provider.health is not None:
        env.append({"name": "DISROUTER_ENGINE_HEALTH", "value": provider.health})
    if provider.api_key is not None:
        env.append({"name": "DISROUTER_ENGINE_KEY", "valueFrom": {"secretKeyRef": provider.api_key.dump()}})
    return [*env, *(item for place, header in enumerate(provider.headers) for item in _header_env(place, header))]


def _header_env(place: int, header: Header) -> list[Object]:
    name = f"DISROUTER_HEADER_{place}"
    return [{"name": f"{name}_NAME", "value": header.name}, containers.variable(f"{name}_VALUE", header)]
