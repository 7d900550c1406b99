"""The targets that the sidecar is held to, as ratios to nginx and others in the same round, and what was measured.

What is measured is the whole product: metrics, request ids, a log line, limits and timeouts on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench import summary
from bench.samples import Results
from bench.summary import Metric, Spread, spread

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
    def verdict(self) -> str:
        """In words: measured against the limit."""
        if self.spread is None:
            return "not measured"
        median, limit = self.spread.median, self.goal.limit
        return "met" if (median >= limit if self.goal.at_least else median <= limit) else "missed"


def _ratio(workload: str, base: str, metric: Metric) -> Callable[[Results], list[float]]:
    return lambda results: summary.ratios(summary.rounds(results.samples, workload), "sidecar", base, metric)


def _added_first_token(results: Results) -> list[float]:
    found = summary.rounds(results.samples, "first-token")
    return summary.added_ratios(found, "sidecar", "nginx", summary.first_token_us)


def _refused_hop(results: Results) -> list[float]:
    return summary.refused_hop_ratios(summary.rounds(results.samples, "refusal"), summary.cpu_us)


def _idle_mib(results: Results) -> list[float]:
    return [one.idle_kib / KIB_PER_MIB for one in results.memory if one.target == "sidecar"]


def _kib_per_stream(results: Results) -> list[float]:
    return [one.kib_per_stream for one in results.memory if one.target == "sidecar"]


GOALS = (
    Goal("tiny answers: CPU per request, of nginx", 2.1, _ratio("tiny", "nginx", summary.cpu_us)),
    Goal("tiny answers: CPU per request, of vLLM's router", 0.6, _ratio("tiny", "vllm-router", summary.cpu_us)),
    Goal("paced streams: CPU per token, of nginx", 1.6, _ratio("paced", "nginx", summary.cpu_us)),
    Goal("paced streams: CPU per token, of vLLM's router", 1.0, _ratio("paced", "vllm-router", summary.cpu_us)),
    Goal("fast streams: CPU per token, of nginx", 0.85, _ratio("fast", "nginx", summary.cpu_us)),
    Goal("fast streams: CPU per token, of vLLM's router", 1.0, _ratio("fast", "vllm-router", summary.cpu_us)),
    Goal("fast streams: tokens/s, of nginx", 1.0, _ratio("fast", "nginx", summary.tokens_per_s), at_least=True),
    Goal("one client: added time to the first token, of nginx", 1.75, _added_first_token),
    Goal("one client: CPU per request, of vLLM's router", 1.0, _ratio("first-token", "vllm-router", summary.cpu_us)),
    Goal("prompts of 100 KB: CPU per request, of nginx", 3.0, _ratio("long-prompt", "nginx", summary.cpu_us)),
    Goal(
        "prompts of 100 KB: CPU per request, of vLLM's router",
        1.0,
        _ratio("long-prompt", "vllm-router", summary.cpu_us),
    ),
    Goal("a refused agent: CPU, of a request through nginx", 3.4, _refused_hop),
    Goal("resident memory, idle", 31, _idle_mib, digits=1, unit=" MiB"),
    Goal("resident memory per open stream", 8, _kib_per_stream, digits=1, unit=" KiB"),
)
"""Tiny answers, streams, prompts and memory as the project promises them; a refused agent at half of what it took in
November 2026, 450 of nginx's 66 microseconds."""


def outcomes(results: Results) -> list[Outcome]:
    """Every goal with what was measured."""
    return [Outcome(goal, spread(goal.values(results))) for goal in GOALS]
