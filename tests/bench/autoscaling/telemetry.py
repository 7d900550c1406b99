"""What Prometheus knows of the simulated sidecars: the counters of `disrouter_sidecar.telemetry`, at every scrape."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

SCRAPED = 15.0
"""Seconds between two scrapes."""
RECENT, USUAL = 60.0, 600.0
"""Seconds that the operator's queries look back (manifests/serving/load_queries.py)."""

Samples = deque[tuple[float, float]]


@dataclass
class Counters:
    """Of all sidecars of a cascade, now."""

    received: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    """disrouter_received_requests_total, by agent."""
    decided: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    """disrouter_agent_decisions_total, by agent, and disrouter_settled_requests_total: nobody names an agent here."""
    wanted: dict[tuple[int, int], float] = field(default_factory=lambda: defaultdict(float))
    """disrouter_wanted_hops_total, by agent and by whom it wanted."""
    inflight: dict[int, list[int]] = field(default_factory=dict)
    """disrouter_engine_inflight_requests, by agent, of each of its pods."""


class Prometheus:
    """The scraped numbers of the last minutes, and the operator's queries on them."""

    def __init__(self, targets: Sequence[int]) -> None:
        """`targets`: of each agent, the requests that a pod is to have."""
        self._targets = targets
        self._received: dict[int, Samples] = defaultdict(deque)
        self._decided: dict[int, Samples] = defaultdict(deque)
        self._wanted: dict[tuple[int, int], Samples] = defaultdict(deque)
        self._inflight: dict[int, Samples] = defaultdict(deque)
        self._served: dict[int, Samples] = defaultdict(deque)

    def scrape(self, now: float, counters: Counters) -> None:
        """Take every number."""
        for agent, target in enumerate(self._targets):
            pods = counters.inflight.get(agent, [])
            _take(self._received[agent], now, counters.received[agent])
            _take(self._decided[agent], now, counters.decided[agent])
            _take(self._inflight[agent], now, sum(pods))
            _take(self._served[agent], now, sum(min(each, target) for each in pods))
            for other in range(agent + 1, len(self._targets)):
                _take(self._wanted[agent, other], now, counters.wanted[agent, other])

    def present(self, agent: int) -> float:
        """`Load.present` of `concurrency`: requests at an agent's engines."""
        samples = self._inflight[agent]
        return samples[-1][1] if samples else 0.0

    def arrivals(self, agent: int, now: float) -> float:
        """`Load.present` of `rps`: requests that come to an agent in a second."""
        return _rate(self._received[agent], now - RECENT)

    def ahead(self, agent: int, now: float) -> float:
        """`Load.ahead` of `rps`: requests in a second that will come, by what comes to the agents before it."""
        return sum(self.arrivals(before, now) * self._share(before, agent, now) for before in range(agent))

    def from_entry(self, agent: int, now: float) -> float:
        """`Load.from_entry` of `rps`: the same by what comes to the entry."""
        arrivals = self.arrivals(0, now)
        for before in range(agent):
            arrivals *= self._share(before, before + 1, now)
        return arrivals

    def _share(self, agent: int, other: int, now: float) -> float:
        decided = _rate(self._decided[agent], now - USUAL)
        return _rate(self._wanted[agent, other], now - USUAL) / decided if decided else 0.0

    def seconds(self, agent: int, now: float) -> float:
        """How long a request takes, by Little's law and without what waits; a second where nothing is known yet."""
        decided = _increase(self._decided[agent], now - USUAL)
        area = sum(value for moment, value in self._served[agent] if moment > now - USUAL) * SCRAPED
        return area / decided if decided else 1.0


def _take(samples: Samples, now: float, value: float) -> None:
    samples.append((now, value))
    while samples[0][0] < now - USUAL:
        samples.popleft()


def _increase(samples: Samples, since: float) -> float:
    inside = [value for moment, value in samples if moment >= since]
    return inside[-1] - inside[0] if len(inside) > 1 else 0.0


def _rate(samples: Samples, since: float) -> float:
    inside = [(moment, value) for moment, value in samples if moment >= since]
    if len(inside) < 2:
        return 0.0
    return (inside[-1][1] - inside[0][1]) / (inside[-1][0] - inside[0][0])
