"""The targets that the sidecar is held to, as ratios to nginx and others in the same round, and what was measured.

A target is for the bare job of a sidecar. The whole product - metrics, request ids, limits, timeouts - may cost at
most a quarter more; what is measured here is the whole product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench import summary
from bench.samples import Results
from bench.summary import Metric, Spread, spread

ALLOWANCE = 1.25
KIB_PER_MIB = 1024


@dataclass(frozen=True)
class Goal:
    """One line of the table: a limit, and how the value comes from the results."""

    text: str
    limit: float
    values: Callable[[Results], list[float]]
    at_least: bool = False
    digits: int = 2
    unit: str = ""


@dataclass(frozen=True)
class Outcome:
    """A goal with what was measured; no `spread` where nothing was."""

    goal: Goal
    spread: Spread | None

    @property
    def allowed(self) -> float:
        """The limit for the whole product."""
        return self.goal.limit / ALLOWANCE if self.goal.at_least else self.goal.limit * ALLOWANCE

    @property
    def verdict(self) -> str:
        """In words: measured against the limit, and against the limit with the whole product's allowance."""
        if self.spread is None:
            return "not measured"
        if self._holds(self.goal.limit):
            return "met"
        return "met with the allowance" if self._holds(self.allowed) else "missed"

    def _holds(self, limit: float) -> bool:
        if self.spread is None:
            return False
        return self.spread.median >= limit if self.goal.at_least else self.spread.median <= limit


def _ratio(workload: str, base: str, metric: Metric) -> Callable[[Results], list[float]]:
    return lambda results: summary.ratios(summary.rounds(results.samples, workload), "sidecar", base, metric)


def _added_first_token(results: Results) -> list[float]:
    found = summary.rounds(results.samples, "first-token")
    return summary.added_ratios(found, "sidecar", "nginx", summary.first_token_us)


def _refused_hop(results: Results) -> list[float]:
    return summary.refused_hop_ratios(summary.rounds(results.samples, "refusal"))


def _idle_mib(results: Results) -> list[float]:
    return [one.idle_kib / KIB_PER_MIB for one in results.memory if one.target == "sidecar"]


def _kib_per_stream(results: Results) -> list[float]:
    return [one.kib_per_stream for one in results.memory if one.target == "sidecar"]


GOALS = (
    Goal("paced streams: CPU per token, of nginx", 1.10, _ratio("paced", "nginx", summary.cpu_us)),
    Goal("fast streams: tokens/s, of nginx", 1.0, _ratio("fast", "nginx", summary.tokens_per_s), at_least=True),
    Goal("one client: added time to the first token, of nginx", 1.20, _added_first_token),
    Goal("tiny answers: CPU per request, of nginx", 1.35, _ratio("tiny", "nginx", summary.cpu_us)),
    Goal("tiny answers: requests/s, of nginx", 0.75, _ratio("tiny", "nginx", summary.requests_per_s), at_least=True),
    Goal("tiny answers: CPU per request, of vLLM's router", 0.45, _ratio("tiny", "vllm-router", summary.cpu_us)),
    Goal("tiny answers: CPU per request, of LiteLLM", 0.005, _ratio("tiny", "litellm", summary.cpu_us), digits=4),
    Goal("a refused agent, of one nginx hop", 2.2, _refused_hop),
    Goal("prompts of 100 KB: CPU per request, of nginx", 1.35, _ratio("long-prompt", "nginx", summary.cpu_us)),
    Goal("resident memory, idle", 25, _idle_mib, digits=1, unit=" MiB"),
    Goal("resident memory per open stream", 8, _kib_per_stream, digits=1, unit=" KiB"),
)


def outcomes(results: Results) -> list[Outcome]:
    """Every goal with what was measured."""
    return [Outcome(goal, spread(goal.values(results))) for goal in GOALS]
