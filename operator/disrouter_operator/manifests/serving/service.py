"""Addresses: the cascade's one, a Service in front of the sidecars where queries enter, and those of its agents."""

from __future__ import annotations

from disrouter import names
from disrouter.api import Agent, DeploymentMode
from disrouter_operator.kube.resources import SERVICES, Object
from disrouter_operator.manifests.cascade import COMPONENT_ENDPOINT, Cascade
from disrouter_operator.manifests.serving import knative
from disrouter_operator.manifests.serving.inference_service import service_spec
from disrouter_operator.settings import Settings


def service(cascade: Cascade, agent: Agent, entry: dict[str, str]) -> Object:
    """The Service `<cascade>`: it leads to the pods with the labels `entry`, those of `agent`, where queries enter."""
    manifest = cascade.child(SERVICES, cascade.name, cascade.labels(COMPONENT_ENDPOINT))
    manifest["spec"] = service_spec(cascade, entry, knative.entry_port(cascade.spec, agent))
    return manifest


def url(cascade: Cascade, settings: Settings) -> str:
    """Base URL for an OpenAI client."""
    return f"{_scheme(cascade, settings.service_url(cascade.name, cascade.namespace))}/v1"


def of_agent(cascade: Cascade, agent: Agent, name: str, reported: str | None, settings: Settings) -> str:
    """Where the sidecar of an agent's workload `name` is found: KServe's own word (`reported`), or the name to come."""
    if agent.served_elsewhere:
        return _scheme(cascade, settings.service_url(name, cascade.namespace))
    standard = cascade.spec.deployment_mode is DeploymentMode.STANDARD
    found = reported or settings.service_url(names.predictor(name) if standard else name, cascade.namespace)
    plain = ":" not in found.partition("://")[2]
    # KServe's Service has no port but 80, which https does not imply.
    return _scheme(cascade, f"{found}:{names.ENTRY_PORT}" if plain and cascade.spec.tls is not None else found)


def _scheme(cascade: Cascade, address: str) -> str:
    """KServe and `Settings.service_url` know nothing of the sidecars' TLS."""
    return address if cascade.spec.tls is None else f"https://{address.partition('://')[2]}"
