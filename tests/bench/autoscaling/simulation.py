"""A cascade under an autoscaler: events in the order of their time, the same for the same seed."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count

from bench.autoscaling import hpa
from bench.autoscaling.pods import Fleet, Pod, Stay
from bench.autoscaling.policies import Policy, Seen
from bench.autoscaling.telemetry import SCRAPED, Counters, Prometheus
from bench.autoscaling.workload import AgentModel, Query

HPA_PHASE, KEDA_PHASE = 7.0, 11.0
"""Seconds by which the looks of HPA and KEDA come after those of Prometheus."""


@dataclass
class Outcome:
    """What came of one run."""

    waits: list[float] = field(default_factory=list)
    """Of each query, the seconds until the first tokens of its answer."""
    gpu_hours: float = 0.0
    pods_started: int = 0
    instead: int = 0
    """Queries that an agent before a cold one answered though it would have refused them."""


class Simulation:
    """One run of a chain under one autoscaler."""

    def __init__(self, chain: Sequence[AgentModel], policy: Policy, queries: Iterable[Query], seed: int) -> None:
        self.outcome = Outcome()
        self._policy = policy
        self._fleets = [Fleet(model) for model in chain]
        self._behaviours = [hpa.Behaviour(model.least, model.most) for model in chain]
        self._wanted_at = [0.0 for _ in chain]
        """When something was last wanted of an agent, as far as KEDA has seen."""
        self._counters, self._prometheus = Counters(), Prometheus([model.target for model in chain])
        self._queries = queries
        self._dice = random.Random(seed)
        self._now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def run(self, seconds: float) -> Outcome:
        """Until every query that came within these seconds has its answer; pods cost until then."""
        for fleet in self._fleets:
            fleet.resize(-fleet.model.start_seconds, fleet.model.least)
        for query in self._queries:
            self._at(query.moment, lambda query=query: self._arrive(Stay(query, 0)))  # type: ignore[misc]
        for phase, period, look in (
            (0.0, SCRAPED, self._scrape),
            (HPA_PHASE, hpa.PERIOD, self._scale),
            (KEDA_PHASE, hpa.POLLED, self._activate),
        ):
            moment = phase
            while moment < seconds:
                self._at(moment, look)
                moment += period
        while self._events:
            self._now, _, happen = heapq.heappop(self._events)
            happen()
        for fleet in self._fleets:
            fleet.close(self._now)
        self.outcome.gpu_hours = sum(fleet.gpu_seconds for fleet in self._fleets) / 3600
        self.outcome.pods_started = sum(fleet.started for fleet in self._fleets)
        return self.outcome

    def _at(self, moment: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._numbers), happen))

    # Queries.

    def _arrive(self, stay: Stay) -> None:
        """At an agent that has pods."""
        self._counters.received[stay.agent] += 1
        self._join(stay)

    def _join(self, stay: Stay) -> None:
        """One of its pods, chosen as a Service does."""
        fleet = self._fleets[stay.agent]
        pod = self._dice.choice(fleet.ready(self._now))
        pod.waiting.append(stay)
        self._admit(fleet, pod)

    def _admit(self, fleet: Fleet, pod: Pod) -> None:
        for stay, first, whole in fleet.admitted(self._now, pod):
            if not stay.refuses:
                self._counters.decided[stay.agent] += not stay.must_answer
                self.outcome.waits.append(self._now + first - stay.query.moment)
            self._at(self._now + whole, lambda stay=stay: self._end(stay, fleet, pod))  # type: ignore[misc]

    def _end(self, stay: Stay, fleet: Fleet, pod: Pod) -> None:
        pod.end(self._now)
        if stay.refuses:
            self._counters.decided[stay.agent] += 1
            self._pass_on(stay)
        self._admit(fleet, pod)
        fleet.retire(self._now, pod)

    def _pass_on(self, stay: Stay) -> None:
        """To the next agent that has pods; where none has, this one answers after all."""
        for agent in range(stay.agent + 1, len(self._fleets)):
            self._counters.wanted[stay.agent, agent] += 1
            if self._fleets[agent].ready(self._now):
                self._arrive(Stay(stay.query, agent))
                return
        self.outcome.instead += 1
        self._join(Stay(stay.query, stay.agent, must_answer=True))

    # Looks.

    def _scrape(self) -> None:
        for agent, fleet in enumerate(self._fleets):
            self._counters.inflight[agent] = [pod.load for pod in fleet.pods]
        self._prometheus.scrape(self._now, self._counters)

    def _seen(self) -> Seen:
        busy = [[pod.worked(self._now) / hpa.PERIOD for pod in fleet.ready(self._now)] for fleet in self._fleets]
        return Seen(self._prometheus, self._fleets, busy, self._now)

    def _scale(self) -> None:
        """Each agent's HPA, which leaves one without pods alone."""
        seen = self._seen()
        for agent, (fleet, behaviour) in enumerate(zip(self._fleets, self._behaviours, strict=True)):
            if fleet.kept:
                wished = self._policy.wished(seen, agent)
                fleet.resize(self._now, behaviour.pods(self._now, len(fleet.kept), wished))

    def _activate(self) -> None:
        """KEDA, for agents that may have no pods."""
        seen = Seen(self._prometheus, self._fleets, [], self._now)
        for agent, fleet in enumerate(self._fleets):
            if fleet.model.least:
                continue
            if any(value > 0 for value in self._policy.values(seen, agent)):
                self._wanted_at[agent] = self._now
                fleet.resize(self._now, max(1, len(fleet.kept)))
            elif self._now - self._wanted_at[agent] > hpa.COOLDOWN:
                fleet.resize(self._now, 0)
