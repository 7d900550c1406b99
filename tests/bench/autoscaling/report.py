"""The numbers as a section of docs/benchmarks.md."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

from bench.autoscaling import hpa, telemetry
from bench.autoscaling.simulation import Outcome
from bench.autoscaling.workload import CHAIN, AgentModel, Traffic
from bench.summary import spread

LATE = 5.0
"""Seconds to the first token that a query is to wait at most."""
Runs = Mapping[str, Sequence[Outcome]]
"""By the autoscaler's name, one for each seed."""


@dataclass(frozen=True)
class Busy:
    """A chain under bursts, by several autoscalers."""

    traffic: Traffic
    chain: Sequence[AgentModel]
    runs: Runs


def section(busy: Sequence[Busy], office: Traffic, cold: Runs, command: str) -> str:
    """Markdown: what it is, who wins, what no pods save, and every parameter."""
    tables = [line for each in busy for line in (*_busy(each), "")]
    return "\n".join([*_head(command, cold), *tables, *_cold(office, cold), "", *_parameters()])


def late(outcome: Outcome) -> float:
    """Percent of the queries that waited for longer than they should."""
    return 100 * sum(wait > LATE for wait in outcome.waits) / len(outcome.waits)


def slowest(outcome: Outcome) -> float:
    """The 95th percentile of the seconds to the first token."""
    return statistics.quantiles(outcome.waits, n=20)[-1]


def _head(command: str, runs: Runs) -> list[str]:
    seeds = len(next(iter(runs.values())))
    return [
        "## Autoscaling",
        "",
        f"`{command}`: a simulation, no measurement.",
        "Its engines are formulas and all of their speeds are assumed (below); HPA, KEDA and the operator's queries do",
        f"as they are documented. Every autoscaler meets the same queries, from {seeds} seeds; medians, lowest and",
        f"highest in brackets. Late: more than {LATE:.0f} s to the first token.",
        "",
    ]


def _busy(busy: Busy) -> list[str]:
    traffic, first = busy.traffic, busy.chain[0]
    rows = [
        f"{traffic.seconds / 3600:.0f} hours at {traffic.base:.0f} queries/s with {traffic.bursts} bursts of "
        f"{traffic.burst_seconds / 60:.0f} minutes to {traffic.burst:.0f};",
        f"a pod is to have {first.target} requests, of {first.slots} that fit into its batch:",
        "",
        "| an agent is scaled by | late, % | to the first token, 95 %, s | GPU-hours | pods started |",
        "|---|---|---|---|---|",
    ]
    for name, outcomes in busy.runs.items():
        cells = [
            _spread([late(each) for each in outcomes]),
            _spread([slowest(each) for each in outcomes]),
            _spread([each.gpu_hours for each in outcomes]),
            _spread([each.pods_started for each in outcomes], "{:.0f}"),
        ]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return rows


def _cold(traffic: Traffic, runs: Runs) -> list[str]:
    rows = [
        f"{traffic.seconds / 3600:.0f} hours with {traffic.bursts} times "
        f"{traffic.burst_seconds / 60:.0f} minutes of work at {traffic.burst:.0f} queries/s, and nothing between:",
        "",
        "| the last agent | late, % | to the first token, 95 %, s | GPU-hours | answered by the agent before it, % |",
        "|---|---|---|---|---|",
    ]
    for name, outcomes in runs.items():
        instead = [100 * each.instead / len(each.waits) for each in outcomes]
        cells = [
            _spread([late(each) for each in outcomes]),
            _spread([slowest(each) for each in outcomes]),
            _spread([each.gpu_hours for each in outcomes]),
            _spread(instead),
        ]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return rows


def _parameters() -> list[str]:
    names = [each.name for each in fields(AgentModel)]
    rows = [f"| {' | '.join(_value(asdict(agent)[name]) for name in names)} |" for agent in CHAIN]
    return [
        f"Prometheus scrapes every {telemetry.SCRAPED:.0f} s, an HPA looks every {hpa.PERIOD:.0f} s, tolerates "
        f"{hpa.TOLERANCE:.0%} and is stable for {hpa.STABILISED:.0f} s on the way down;",
        f"KEDA looks every {hpa.POLLED:.0f} s and takes the last pod after {hpa.COOLDOWN:.0f} s.",
        "An engine's loop keeps one core busy while its batch is not empty. A token takes from `token` to `token_full`",
        "seconds, as full as the batch is; answers have `tokens` on average, and a refusal five. Pods start in",
        "`start_seconds` and have `slots` sequences in their batch.",
        "",
        f"| {' | '.join(names)} |",
        f"|{'---|' * len(names)}",
        *rows,
    ]


def _value(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _spread(values: Sequence[float], shape: str = "{:.1f}") -> str:
    found = spread(values)
    if found is None:
        return ""
    return f"{shape.format(found.median)} ({shape.format(found.low)} – {shape.format(found.high)})"
