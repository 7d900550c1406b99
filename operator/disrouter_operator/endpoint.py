"""Addresses: the cascade's one, a Service in front of the sidecars where queries enter, and those of its agents."""

from __future__ import annotations

from disrouter import names
from disrouter.api import Agent, DeploymentMode
from disrouter_operator.cascade import COMPONENT_AGENT, COMPONENT_ENDPOINT, Cascade
from disrouter_operator.inference import service_spec
from disrouter_operator.resources import SERVICES, Object
from disrouter_operator.settings import Settings


def service(cascade: Cascade, entry: str) -> Object:
    """The Service `<cascade>`: it follows `entry`, the agent in the route table where queries enter."""
    manifest = cascade.child(SERVICES, cascade.name, cascade.labels(COMPONENT_ENDPOINT))
    manifest["spec"] = service_spec(cascade, cascade.labels(COMPONENT_AGENT, entry))
    return manifest


def url(cascade: Cascade, settings: Settings) -> str:
    """Base URL for an OpenAI client."""
    return f"{_scheme(cascade, settings.service_url(cascade.name, cascade.namespace))}/v1"


def of_agent(cascade: Cascade, agent: Agent, reported: str | None, settings: Settings) -> str:
    """Where an agent's sidecar is found: KServe's own word (`reported`) where it has spoken, else the name to come."""
    name = cascade.agent_object(agent.name)
    if agent.external is not None:
        return _scheme(cascade, settings.service_url(name, cascade.namespace))
    standard = cascade.spec.deployment_mode is DeploymentMode.STANDARD
    found = reported or settings.service_url(names.predictor(name) if standard else name, cascade.namespace)
    plain = ":" not in found.partition("://")[2]
    # KServe's Service has no port but 80, which https does not imply.
    return _scheme(cascade, f"{found}:{names.ENTRY_PORT}" if plain and cascade.spec.tls is not None else found)


def _scheme(cascade: Cascade, address: str) -> str:
    """KServe and `Settings.service_url` know nothing of the sidecars' TLS."""
    return address if cascade.spec.tls is None else f"https://{address.partition('://')[2]}"
