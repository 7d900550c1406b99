"""The cascade's one address: a Service in front of the sidecars of the agent where queries enter."""

from __future__ import annotations

from disrouter_operator.cascade import COMPONENT_AGENT, COMPONENT_ENDPOINT, Cascade
from disrouter_operator.inference import service_spec
from disrouter_operator.resources import SERVICES, Object
from disrouter_operator.settings import Settings


def service(cascade: Cascade, entry: str) -> Object:
    """The Service `<cascade>`: it follows `entry`, the first agent in the route table that serves."""
    manifest = cascade.child(SERVICES, cascade.name, cascade.labels(COMPONENT_ENDPOINT))
    manifest["spec"] = service_spec(cascade.labels(COMPONENT_AGENT, entry))
    return manifest


def url(cascade: Cascade, settings: Settings) -> str:
    """Base URL for an OpenAI client."""
    return f"{settings.service_url(cascade.name, cascade.namespace)}/v1"
