"""`spec` of a SelfRoutingCascade. Field docstrings become the CRD's descriptions, so they speak to its users."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from pydantic import Field, StrictFloat, StrictInt

from disrouter.api.agent import Agent, SelfAwareness
from disrouter.api.exposure import HttpRoute, Ingress
from disrouter.api.pod import PodOptions
from disrouter.api.traffic import Alias, Auth, Breaker, Cors, Fallback, NetworkPolicy, Retries, Timeouts, Tls
from disrouter.api.training import Training
from disrouter.model import Model, mirrored
from disrouter.names import MAX_AGENT
from disrouter.routes import Awareness, RouteTable, UndecidablePolicy
from disrouter.scenario import Scenario

MAX_AGENTS = 16


class DeploymentMode(StrEnum):
    """KServe's ways to run an InferenceService."""

    STANDARD = "Standard"
    KNATIVE = "Knative"


class Rollout(StrEnum):
    """How a changed agent replaces its pod: `surge` needs a spare GPU, `recreate` has the cascade skip it meanwhile."""

    SURGE = "surge"
    RECREATE = "recreate"


class CascadeSpec(Model):
    """What the user wants: agents by cost, a preference, and how to train."""

    scenario: Scenario | None = None
    """Default preference of requests that state none: `balance` if neither this nor `preference` is given."""
    preference: StrictFloat | None = Field(default=None, ge=0, le=1)
    """Alpha instead of a scenario: 0 is performance only, 1 weighs cost most. Agents that were not trained on numbers
    are told the nearest scenario."""
    agents: tuple[Agent, ...] = Field(min_length=1, max_length=MAX_AGENTS)
    """Cheapest first; the last one always answers."""
    entrypoint: str | None = Field(default=None, max_length=MAX_AGENT)
    """Agent that requests enter at; default the first. Agents before it answer only when they are pinned."""
    deployment_mode: DeploymentMode = DeploymentMode.STANDARD
    rollout: Rollout = Rollout.RECREATE
    timeouts: Timeouts = Timeouts()
    retries: Retries = Retries()
    breaker: Breaker = Breaker()
    fallback: Fallback = Fallback()
    undecidable: UndecidablePolicy = mirrored(RouteTable, "undecidable")
    """A reply that cannot be judged (no JSON, or in an encoding that nobody asked for) while another agent is left:
    `forward` asks that one, `answer` gives the reply to the client."""
    aliases: tuple[Alias, ...] = Field(default=(), max_length=64)
    """Other names by which clients may ask for the cascade or for one agent, so that they need no change."""
    cors: Cors = Cors()
    kept_decisions: StrictInt = mirrored(RouteTable, "kept_decisions")
    """Requests of which each pod of an agent remembers who refused, failed and answered, and why: about a kilobyte for
    each, never any text. `GET /disrouter/v1/decisions/<request id>` shows it; 0 remembers none."""
    auth: Auth = Auth()
    tls: Tls | None = None
    """Encrypt requests between sidecars and from clients to the entry."""
    network_policy: NetworkPolicy = NetworkPolicy()
    http_route: HttpRoute | None = None
    """Publish the cascade by a Gateway; its agents are never published."""
    ingress: Ingress | None = None
    """Publish the cascade by an Ingress."""
    pod: PodOptions | None = None
    """Where and as whom every agent's pods run."""
    drain_seconds: StrictInt = Field(default=90, ge=0, le=3600)
    """Between leaving the route table and deletion; above the kubelet's ConfigMap refresh (about 60 s)."""
    training: Training | None = None

    @property
    def first(self) -> int:
        """Place of the agent that requests enter at; 0 where `entrypoint` names none of the agents."""
        return next((index for index, agent in enumerate(self.agents) if agent.name == self.entrypoint), 0)

    def successor(self, index: int) -> str | None:
        """Name of the agent that gets what agent `index` refuses; None if it always answers."""
        agent = self.agents[index]
        explicit = agent.self_awareness
        if explicit is not None and explicit.mode is Awareness.NONE:
            return None
        if agent.next is not None:
            return agent.next
        return self.agents[index + 1].name if index + 1 < len(self.agents) else None

    def route_from(self, agent: str) -> Iterator[str]:
        """An agent, and who gets a request after it while each refuses. Routes only lead forward, so this ends."""
        place = {each.name: index for index, each in enumerate(self.agents)}
        name: str | None = agent
        while name is not None:
            yield name
            name = self.successor(place[name])

    def awareness(self, index: int) -> SelfAwareness:
        """Explicit or default self-awareness of agent `index`."""
        agent = self.agents[index]
        if agent.self_awareness is not None:
            return agent.self_awareness
        if self.successor(index) is None:
            return SelfAwareness(mode=Awareness.NONE)
        trained = not agent.served_elsewhere and self.training is not None
        return SelfAwareness(mode=Awareness.TRAINED if trained else Awareness.PROMPTED)
