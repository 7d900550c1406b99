"""The route table: who is where, what it costs, who is next. Data, so that changing it restarts no pod."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from disrouter import names
from disrouter.routes import ROUTES_FILE, AgentRoute, Awareness, RouteTable
from disrouter.scenario import Scenario
from disrouter_operator.cascade import COMPONENT_ROUTES, Cascade
from disrouter_operator.resources import CONFIG_MAPS, Object


@dataclass(frozen=True)
class Stop:
    """What the table needs to know of an agent beyond the spec."""

    url: str
    awareness: Awareness


def table(cascade: Cascade, stops: Mapping[str, Stop], entry: str) -> RouteTable:
    """The table over the agents in `stops`; one that is missing there is skipped by those that point at it."""
    spec = cascade.spec
    routes = {
        agent.name: AgentRoute(
            url=stops[agent.name].url,
            cost=agent.cost,
            awareness=stops[agent.name].awareness,
            next=_next(cascade, index, stops),
        )
        for index, agent in cascade.indexed()
        if agent.name in stops
    }
    return RouteTable(
        generation=cascade.generation,
        cascade=cascade.name,
        entry=entry,
        scenario=spec.scenario or Scenario.BALANCE,
        preference=spec.preference,
        timeouts=spec.timeouts,
        retries=spec.retries,
        breaker=spec.breaker,
        fallback=spec.fallback,
        agents=routes,
    )


def config_map(cascade: Cascade, routes: RouteTable) -> Object:
    """The ConfigMap that every sidecar mounts."""
    name = names.routes_config_map(cascade.name)
    manifest = cascade.child(CONFIG_MAPS, name, cascade.labels(COMPONENT_ROUTES))
    manifest["data"] = {ROUTES_FILE: routes.to_json()}
    return manifest


def _next(cascade: Cascade, index: int, stops: Mapping[str, Stop]) -> str | None:
    """The nearest successor that is in the table. Routes only lead forward, so this ends."""
    place = {agent.name: position for position, agent in cascade.indexed()}
    successor = cascade.spec.successor(index)
    while successor is not None and successor not in stops:
        successor = cascade.spec.successor(place[successor])
    return successor
