"""The route table: who is where, what it costs, who is next. Data, so that changing it restarts no pod."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from disrouter import names
from disrouter.api import Agent, Promotion, SelfAwareness
from disrouter.routes import (
    ROUTES_FILE,
    AgentRoute,
    AliasRoute,
    Awareness,
    Breaker,
    Capabilities,
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
class RouteEntry:
    """What the table needs to know of an agent beyond the spec."""

    url: str
    awareness: Awareness
    promotion: Promotion | None = None
    """Of the run that is served; None where it never was promoted."""

    @property
    def trained(self) -> Promotion | None:
        """What is known of trained weights; nothing until they are what is served."""
        return self.promotion if self.awareness is Awareness.TRAINED else None


def table(cascade: Cascade, entries: Mapping[str, RouteEntry], entrypoint: str) -> RouteTable:
    """The table over the agents in `entries`; one that is missing there is passed over by those that point at it,
    and its aliases are left out."""
    spec = cascade.spec
    routes = {
        agent.name: _route(cascade, index, entries) for index, agent in cascade.indexed() if agent.name in entries
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
        undecidable=spec.undecidable,
        aliases={
            alias.name: AliasRoute(agent=alias.agent)
            for alias in spec.aliases
            if alias.agent is None or alias.agent in routes
        },
        cors_origins=list(spec.cors.origins),
        kept_decisions=spec.kept_decisions,
        agents=routes,
    )


def route(cascade: Cascade, entries: Mapping[str, RouteEntry]) -> list[str]:
    """The way of a request through the agents in `entries`, from `spec.entrypoint` on, cheapest first."""
    spec = cascade.spec
    return [name for name in spec.route_from(spec.agents[spec.first].name) if name in entries]


def config_map(cascade: Cascade, routes: RouteTable) -> Object:
    """The ConfigMap that every sidecar mounts."""
    name = names.routes_config_map(cascade.name)
    manifest = cascade.child(CONFIG_MAPS, name, cascade.labels(COMPONENT_ROUTES))
    manifest["data"] = {ROUTES_FILE: routes.to_json()}
    return manifest


def _route(cascade: Cascade, index: int, entries: Mapping[str, RouteEntry]) -> AgentRoute:
    """Agent `index` as the others see it."""
    agent, said = cascade.spec.agents[index], cascade.spec.awareness(index)
    entry = entries[agent.name]
    return AgentRoute(
        url=entry.url,
        cost=agent.cost,
        awareness=entry.awareness,
        next=_next(cascade, cascade.spec.successor(index), entries),
        probability=_probability(cascade, agent, entries),
        adapter=engine_container.adapter_route(agent),
        preference_encoding=entry.trained.preference_encoding if entry.trained is not None else None,
        prompt_opens_reasoning=_prompt_opens_reasoning(agent, said, entry),
        deferral_tool=said.deferral_tool,
        capabilities=_capabilities(agent),
        max_inflight=agent.max_inflight,
    )


def _capabilities(agent: Agent) -> Capabilities:
    """What the manifest says of its engine, by capability or by argument."""
    said = dict(agent.capabilities)
    said["context_length"] = agent.capabilities.context_length or engine_container.context_length(agent)
    return Capabilities(**said)


def _prompt_opens_reasoning(agent: Agent, said: SelfAwareness, entry: RouteEntry) -> bool:
    """What the manifest says, else what the run that is served has found, unless the engine parts reasoning itself."""
    if said.prompt_opens_reasoning is not None:
        return said.prompt_opens_reasoning
    found = entry.trained is not None and entry.trained.prompt_opens_reasoning
    return found and not engine_container.parses_reasoning(agent)


def _next(cascade: Cascade, agent: str | None, entries: Mapping[str, RouteEntry]) -> str | None:
    """`agent`, or the nearest behind it that is in the table."""
    route = cascade.spec.route_from(agent) if agent is not None else ()
    return next((each for each in route if each in entries), None)


def _probability(cascade: Cascade, agent: Agent, entries: Mapping[str, RouteEntry]) -> ProbabilityRoute | None:
    """How the decision is read from the refusal's chance; None where it is read in the text.

    The calibration belongs to trained weights: until they are served, the agent is asked for its words.
    """
    trained, training = entries[agent.name].trained, cascade.spec.training
    chosen = agent.decision.mode is DecisionMode.PROBABILITY
    if not chosen or trained is None or trained.calibration is None or training is None:
        return None
    jump = agent.decision.jump
    to = _next(cascade, jump.to, entries) if jump is not None else None
    return ProbabilityRoute(
        calibration=trained.calibration,
        gamma=training.rl.gamma,
        jump=JumpRoute(to=to, below=jump.below) if jump is not None and to is not None else None,
    )
