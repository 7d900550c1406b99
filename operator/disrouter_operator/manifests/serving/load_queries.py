"""How much an agent has to do, as PromQL over the metrics of its cascade's sidecars (`disrouter_sidecar.telemetry`).

`Load.present` is what an agent has. `ahead` is what is on its way: requests that come to the agents before it now,
times the share of theirs that has wanted this one. It rises when a burst comes there, before they get to refuse what
they queue, and it speaks for an agent without pods, which has no sidecar to speak for it. What agents really wanted is
counted, so it holds in any tree, after a jump and past a cold agent. `from_entry` looks further: what comes to the
entry now, times every share on the way, so that all agents of a chain start their pods at once and not one by one.

Sidecars say their cascade and agent; the namespace is a label of their scrape, as a PodMonitor sets it. An autoscaler
divides the numbers by what one pod is to have (`autoscaling.target`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from disrouter.api.agent import ScaleMetric

METRICS = (ScaleMetric.CONCURRENCY, ScaleMetric.RPS)
"""What the sidecars count."""
RECENT = "1m"
"""Of what comes now: four scrapes of the chart's PodMonitor, as a rate should have."""
USUAL, _USUAL_SECONDS = "10m", 600
"""Of shares and durations, which change less than what comes."""
STEP = 15
"""Seconds between two looks at a gauge, over which its area is added up."""
_RECEIVED, _WANTED = "disrouter_received_requests_total", "disrouter_wanted_hops_total"
_INFLIGHT, _DECIDED = "disrouter_engine_inflight_requests", "disrouter_agent_decisions_total"
_SETTLED = "disrouter_settled_requests_total"
"""Of requests that wait, nobody knows yet whom they want. Those that are passed on undecided are settled as well."""
_ONCE = 'decision!="fallback"'
"""Of each request, the one decision after which it goes on or is answered: who answers after all had refused before."""


@dataclass(frozen=True)
class Load:
    """The queries of one cascade's agents; each says one number, 0 where there is nothing."""

    metric: ScaleMetric
    """`concurrency`: requests at engines; `rps`: requests that come in a second."""
    namespace: str
    cascade: str
    target: int
    """What one pod is to have: more than that at once is a queue."""

    def present(self, agent: str) -> str:
        """What the agent has."""
        return f"{_present(self.metric, self._of(agent=agent))} or vector(0)"

    def ahead(self, agent: str) -> str:
        """What it should have now, by what comes to the agents before it."""
        before = self._of()
        comes = _rate(_RECEIVED, before, RECENT, "agent")
        wanted, settled = _rate(_WANTED, self._of(to=agent), USUAL, "agent"), _rate(_SETTLED, before, USUAL, "agent")
        return self._for(agent, f"sum({comes} * {wanted} / ({settled} > 0))")

    def from_entry(self, path: Sequence[str]) -> str:
        """What the last agent of a `path` should have, by what comes to the first; 0 if one between gets nothing."""
        arrivals = _rate(_RECEIVED, self._of(agent=path[0]), RECENT)
        for one, other in pairwise(path):
            wanted = _rate(_WANTED, self._of(agent=one, to=other), USUAL)
            arrivals += f" * ({wanted} / ({_rate(_SETTLED, self._of(agent=one), USUAL)} > 0))"
        return self._for(path[-1], arrivals)

    def _for(self, agent: str, arrivals: str) -> str:
        """By Little's law requests that come in a second, times the seconds that each takes, are those there at once.

        What waits in a queue will take no longer than others once there are pods for it, so it is not counted. How long
        an agent takes is not known before it has served; a second is assumed.
        """
        times = "" if self.metric is ScaleMetric.RPS else f" * ({self._seconds(agent)} or vector(1))"
        return f"{arrivals}{times} or vector(0)"

    def _seconds(self, agent: str) -> str:
        """Seconds that a request is at its engine: the area under those that are there, for each that it decides."""
        own = self._of(agent=agent)
        served = f"sum(clamp_max({_INFLIGHT}{{{own}}}, {self.target}))"
        decided = _rate(_DECIDED, f"{own},{_ONCE}", USUAL)
        return f"(sum_over_time({served}[{USUAL}:{STEP}s]) * {STEP} / ({decided} * {_USUAL_SECONDS} > 0))"

    def _of(self, **labels: str) -> str:
        """Names of Kubernetes need no escapes."""
        every = {"namespace": self.namespace, "cascade": self.cascade, **labels}
        return ",".join(f'{label}="{value}"' for label, value in every.items())


def recorded(metric: ScaleMetric, *, behind: bool) -> tuple[str, ...]:
    """Names under which the chart records what an HPA reads: `present` and, of agents `behind` others, `ahead`.

    Of `concurrency` it records no `ahead` (rules/load.yaml): that wants the target of each agent, without which all
    that wait would count as the time that a request takes, and a queue would ask for pods many times over.
    """
    name = f"disrouter_agent_{metric}"
    return (name, f"{name}_ahead") if behind and metric is ScaleMetric.RPS else (name,)


def rules(metric: ScaleMetric) -> dict[str, str]:
    """What is recorded under these names: the same of every agent of every cascade, by namespace, cascade and agent.

    An HPA that gets no number takes no pod away, so an agent to which nothing is on its way gets 0.
    """
    place = "namespace, cascade, agent"
    now = _present(metric, "", place)
    comes, settled = _rate(_RECEIVED, "", RECENT, place), _rate(_SETTLED, "", USUAL, place)
    wanted = _rate(_WANTED, "", USUAL, f"{place}, to")
    arrivals = f"sum by (namespace, cascade, to) ({wanted} * on ({place}) group_left () ({comes} / ({settled} > 0)))"
    ahead_of_each = f'sum by ({place}) (label_replace({arrivals}, "agent", "$1", "to", "(.+)"))'
    present_of, *ahead_of = recorded(metric, behind=True)
    return {present_of: now} | dict.fromkeys(ahead_of, f"{ahead_of_each} or {now} * 0")


def _present(metric: ScaleMetric, labels: str, by: str = "") -> str:
    return _rate(_RECEIVED, labels, RECENT, by) if metric is ScaleMetric.RPS else _sum(f"{_INFLIGHT}{{{labels}}}", by)


def _rate(counter: str, labels: str, window: str, by: str = "") -> str:
    return _sum(f"rate({counter}{{{labels}}}[{window}])", by)


def _sum(vector: str, by: str) -> str:
    return f"sum by ({by}) ({vector})" if by else f"sum({vector})"
