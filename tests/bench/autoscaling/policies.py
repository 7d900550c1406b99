"""The autoscalers that are compared: from what is measured, how many pods an agent is to have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from bench.autoscaling import hpa
from bench.autoscaling.pods import Fleet
from bench.autoscaling.telemetry import Prometheus
from disrouter.api.agent import ScaleMetric

CPU_TARGET = 0.8


@dataclass(frozen=True)
class Seen:
    """What an autoscaler may look at."""

    prometheus: Prometheus
    fleets: Sequence[Fleet]
    busy: Sequence[Sequence[float]]
    """Of each agent's ready pods, the cores that each has kept busy since the last look."""
    now: float


class Sight(IntEnum):
    """How far an autoscaler looks."""

    AGENT = 0
    """What the agent has."""
    NEXT = 1
    """And what the agents before it are about to refuse."""
    ENTRY = 2
    """And what is on its way from the entry: as the operator makes it."""


@dataclass(frozen=True)
class ByRequests:
    """An HPA over Prometheus, as KEDA makes it; of several numbers the one that asks for the most pods counts."""

    name: str
    metric: ScaleMetric
    sight: Sight

    def wished(self, seen: Seen, agent: int) -> int:
        """How many pods this asks for."""
        fleet = seen.fleets[agent]
        model = fleet.model
        target = model.target if self.metric is ScaleMetric.CONCURRENCY else model.rps
        return max(hpa.by_value(value, target, len(fleet.kept)) for value in self.values(seen, agent))

    def values(self, seen: Seen, agent: int) -> list[float]:
        """The numbers of an agent."""
        prometheus, now = seen.prometheus, seen.now
        coming = [look(agent, now) for look in (prometheus.ahead, prometheus.from_entry)][: self.sight if agent else 0]
        if self.metric is ScaleMetric.RPS:
            return [prometheus.arrivals(agent, now), *coming]
        seconds = prometheus.seconds(agent, now)
        return [prometheus.present(agent), *(arrivals * seconds for arrivals in coming)]


@dataclass(frozen=True)
class ByCpu:
    """An HPA on the CPU of the engines. An engine's loop keeps one core busy whenever its batch is not empty."""

    name: str
    cores: float
    """Requested by a pod: utilisation is a share of these."""

    def wished(self, seen: Seen, agent: int) -> int:
        """How many pods this asks for."""
        shares = [busy / self.cores for busy in seen.busy[agent]]
        return hpa.by_utilisation(shares, CPU_TARGET, len(seen.fleets[agent].kept))

    def values(self, seen: Seen, agent: int) -> list[float]:
        """An HPA on the CPU wakes nobody."""
        return []


Policy = ByRequests | ByCpu

_CONCURRENCY, _RPS = ScaleMetric.CONCURRENCY, ScaleMetric.RPS
QUEUE = ByRequests("`concurrency` of the agent alone", _CONCURRENCY, Sight.AGENT)
WHOLE = ByRequests("`concurrency`, and from the entry", _CONCURRENCY, Sight.ENTRY)
POLICIES: tuple[Policy, ...] = (
    ByCpu("CPU, one core requested", 1.0),
    ByCpu("CPU, four cores requested", 4.0),
    QUEUE,
    ByRequests("`concurrency`, and from the agents before it", _CONCURRENCY, Sight.NEXT),
    WHOLE,
    ByRequests("`rps` of the agent alone", _RPS, Sight.AGENT),
    ByRequests("`rps`, and from the agents before it", _RPS, Sight.NEXT),
    ByRequests("`rps`, and from the entry", _RPS, Sight.ENTRY),
)
