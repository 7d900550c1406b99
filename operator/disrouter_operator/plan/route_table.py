"""The route table: who is where, what it costs, who is next. Data, so that changing it restarts no pod."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from disrouter import names
from disrouter.api import Agent, Promotion
from disrouter.routes import (
    ROUTES_FILE,
    AgentRoute,
    Awareness,
    Breaker,
    DecisionMode,
    Fallback,
    JumpRoute,
    ProbabilityRoute,
    Retries,
    RouteTable,
    Timeouts,
)
from disrouter.scenario import Scenario
from disrouter_operator.kube.resources import CONFIG_MAPS, Object
from disrouter_operator.manifests.cascade import COMPONENT_ROUTES, Cascade
from disrouter_operator.manifests.serving import engine_container


@dataclass(frozen=True)
class Stop:
    """What the table needs to know of an agent beyond the spec."""

    url: str
    awareness: Awareness
    promotion: Promotion | None = None
    """Of the run that is served; None where it never was promoted."""

    @property
    def trained(self) -> Promotion | None:
        """What is known of trained weights; nothing until they are what is served."""
        return self.promotion if self.awareness is Awareness.TRAINED else None


def table(cascade: Cascade, stops: Mapping[str, Stop], entrypoint: str) -> RouteTable:
    """The table over the agents in `stops`; one that is missing there is passed over by those that point at it."""
    spec = cascade.spec
    routes = {
        agent.name: AgentRoute(
            url=stops[agent.name].url,
            cost=agent.cost,
            awareness=stops[agent.name].awareness,
            next=_next(cascade, cascade.spec.successor(index), stops),
            probability=_probability(cascade, agent, stops),
            adapter=engine_container.adapter_route(agent),
            preference_encoding=trained.preference_encoding
            if (trained := stops[agent.name].trained) is not None
            else None,
        )
        for index, agent in cascade.indexed()
        if agent.name in stops
    }
    return RouteTable(
        generation=cascade.generation,
        cascade=cascade.name,
        entrypoint=entrypoint,
        scenario=spec.scenario or Scenario.BALANCE,
        preference=spec.preference,
        timeouts=Timeouts(**dict(spec.timeouts)),
        retries=Retries(**dict(spec.retries)),
        breaker=Breaker(**dict(spec.breaker)),
        fallback=Fallback(**dict(spec.fallback)),
        agents=routes,
    )


def entrypoint(cascade: Cascade, stops: Mapping[str, Stop], answering: Collection[str]) -> str:
    """Where requests enter: the first agent from `spec.entrypoint` on that answers; if none does, its first."""
    spec = cascade.spec
    place = {agent.name: index for index, agent in cascade.indexed()}
    route = []
    name: str | None = spec.agents[spec.first].name
    while name is not None:
        route += [name] if name in stops else []
        name = spec.successor(place[name])
    return next((name for name in route if name in answering), route[0])


def config_map(cascade: Cascade, routes: RouteTable) -> Object:
    """The ConfigMap that every sidecar mounts."""
    name = names.routes_config_map(cascade.name)
    manifest = cascade.child(CONFIG_MAPS, name, cascade.labels(COMPONENT_ROUTES))
    manifest["data"] = {ROUTES_FILE: routes.to_json()}
    return manifest


def _next(cascade: Cascade, agent: str | None, stops: Mapping[str, Stop]) -> str | None:
    """`agent`, or the nearest behind it that is in the table. Routes only lead forward, so this ends."""
    place = {each.name: position for position, each in cascade.indexed()}
    while agent is not None and agent not in stops:
        agent = cascade.spec.successor(place[agent])
    return agent


def _probability(cascade: Cascade, agent: Agent, stops: Mapping[str, Stop]) -> ProbabilityRoute | None:
    """How the decision is read from the refusal's chance; None where it is read in the text.

    The calibration belongs to trained weights: until they are served, the agent is asked for its words.
    """
    trained, training = stops[agent.name].trained, cascade.spec.training
    chosen = agent.decision.mode is DecisionMode.PROBABILITY
    if not chosen or trained is None or trained.calibration is None or training is None:
        return None
    jump = agent.decision.jump
    to = _next(cascade, jump.to, stops) if jump is not None else None
    return ProbabilityRoute(
        calibration=trained.calibration,
        gamma=training.rl.gamma,
        jump=JumpRoute(to=to, below=jump.below) if jump is not None and to is not None else None,
    )
