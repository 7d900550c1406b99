"""The sidecar's section of docs/benchmarks.md."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from bench import summary
from bench.goals import Outcome, outcomes
from bench.samples import NOISY, Memory, Results
from bench.summary import Metric, Spread, spread
from bench.workloads import IDLE, WORKLOADS, Unit, Workload

KIB_PER_MIB = 1024


def render(results: Results, picture: str) -> str:
    """Markdown; `picture` is the path of the picture beside the document."""
    parts = [_head(results), _goal_table(results), f"![The sidecar beside other proxies]({picture})"]
    parts += [_workload(results, workload) for workload in _measured(results)]
    parts += [_memory(results)] if results.memory else []
    return "\n\n".join([*parts, _method(results)])


def _head(results: Results) -> str:
    versions = "; ".join(f"{name} {version}" for name, version in results.versions.items())
    lines = [
        "## The sidecar beside other proxies",
        "",
        f"`make bench-sidecar` (`{results.command}`), {results.date}: "
        f"{results.rounds} interleaved rounds in {results.seconds / 60:.1f} minutes.",
        f"Machine: {results.machine}.",
        f"Versions: {versions}.",
    ]
    for name, remedy in results.missing.items():
        lines += ["", f"**{name} is not, or not wholly, in these numbers**: {remedy}."]
    return "\n".join(lines)


def _goal_table(results: Results) -> str:
    lines = [
        "### Targets",
        "",
        "For the whole product: metrics, request ids, a log line, limits and timeouts on. Ratios are taken within a "
        "round; medians over the rounds, lowest and highest in brackets.",
        "",
        "| what | target | measured | verdict |",
        "|---|---|---|---|",
    ]
    return "\n".join([*lines, *map(_goal_row, outcomes(results))])


def _goal_row(outcome: Outcome) -> str:
    goal = outcome.goal
    sign = "≥" if goal.at_least else "≤"
    measured = _span(outcome.spread, goal.digits, goal.unit)
    return f"| {goal.text} | {sign} {goal.limit:.4g}{goal.unit} | {measured} | {outcome.verdict} |"


def _measured(results: Results) -> list[Workload]:
    names = {sample.workload for sample in results.samples}
    return [workload for workload in WORKLOADS.values() if workload.name in names and workload != IDLE]


def _workload(results: Results, workload: Workload) -> str:
    found = summary.rounds(results.samples, workload.name)
    unit = workload.unit.value
    rate = summary.tokens_per_s if workload.unit is Unit.TOKEN else summary.requests_per_s
    lines = [
        f"### {workload.title[0].upper()}{workload.title[1:]}",
        "",
        f"| | {unit}s/s | CPU µs per {unit} | of nginx | added to the first token, µs | of nginx"
        + (" | added to a token, µs |" if workload.unit is Unit.TOKEN else " |"),
        "|---" * (7 if workload.unit is Unit.TOKEN else 6) + "|",
    ]
    for target in [name for name in workload.targets if any(name in one for one in found)]:
        cells = [
            _span(spread(summary.values(found, target, rate)), 0),
            "" if target == "direct" else _span(spread(summary.values(found, target, summary.cpu_us)), 1),
            _of_nginx(summary.ratios(found, target, "nginx", summary.cpu_us), target),
            *_added(found, target, summary.first_token_us),
        ]
        if workload.unit is Unit.TOKEN:
            cells.append(_added(found, target, summary.token_delay_us)[0])
        lines.append(f"| {target} | {' | '.join(cells)} |")
    if "chain" in workload.targets:
        cpu, waited = (
            spread(summary.refused_hops_us(found, each)) for each in (summary.cpu_us, summary.first_token_us)
        )
        ratio = spread(summary.refused_hop_ratios(found, summary.cpu_us))
        lines += [
            "",
            f"One refused agent: {_span(cpu, 0, ' µs')} of CPU, of a request through nginx {_span(ratio, 2)};",
        ]
        lines += [f"{_span(waited, 0, ' µs')} until the next agent is asked and answers."]
        lines += ["It holds the engine's saying no and the way to the next agent."]
    return "\n".join(lines)


def _added(found: list[summary.Round], target: str, metric: Metric) -> tuple[str, str]:
    if target == "direct":
        own = _span(spread(summary.values(found, target, metric)), 0)
        return f"({own} in all)" if own else "", ""
    added = _span(spread(summary.added(found, target, metric)), 0)
    return added, _of_nginx(summary.added_ratios(found, target, "nginx", metric), target)


def _of_nginx(values: list[float], target: str) -> str:
    return "" if target in ("direct", "nginx") else _span(spread(values), 2)


def _memory(results: Results) -> str:
    lines = [
        f"### {IDLE.title}",
        "",
        "Resident memory, freshly started for every round: after a few requests, and with the streams open.",
        "",
        "| | idle, MiB | with the streams, MiB | a stream, KiB |",
        "|---|---|---|---|",
    ]
    for target in dict.fromkeys(one.target for one in results.memory):
        rows = [one for one in results.memory if one.target == target]
        lines.append(f"| {target} | {_memory_cells(rows)} |")
    return "\n".join(lines)


def _memory_cells(rows: Iterable[Memory]) -> str:
    rows = list(rows)
    idle = spread(one.idle_kib / KIB_PER_MIB for one in rows)
    full = spread(one.open_kib / KIB_PER_MIB for one in rows)
    return f"{_span(idle, 1)} | {_span(full, 1)} | {_span(spread(one.kib_per_stream for one in rows), 1)}"


def _method(results: Results) -> str:
    noisy, count = sum(sample.noisy for sample in results.samples), len(results.samples)
    foreign = statistics.median([sample.foreign for sample in results.samples] or [0.0])
    wrong = sum(bool(sample.failed) for sample in results.samples)
    return "\n".join(
        [
            "### How",
            "",
            "A scripted engine and a closed-loop load generator, both in C (`tests/bench/c`) and pinned to one core,",
            "ask through each proxy, pinned to the other with all it starts; those not being measured are stopped.",
            "`direct` is what engine and generator do with no proxy between them: their own ceiling. Workloads and",
            "targets are shuffled anew in every round. Every answer is checked to the last character. CPU is user and",
            "system time of the proxy's processes. The sidecar runs as in a pod: metrics, request ids, limits and",
            "timeouts on, tracing off. nginx only forwards; the sidecar also parses, instructs and decides.",
            "Before each sample its clients ask for a moment unmeasured, so that no pool of connections begins cold.",
            "",
            f"Samples: {count}, of which {noisy} with more than {NOISY:g} cores of other people's work beside them "
            f"(median {foreign:.2f}) after retries, and {wrong} left out for a wrong or missing answer.{_cut(results)}",
        ]
    )


def _cut(results: Results) -> str:
    """Requests that a target had begun and not answered: their CPU is in its numbers."""
    cut: dict[str, int] = {}
    for sample in results.samples:
        cut[sample.target] = cut.get(sample.target, 0) + sample.cut
    listed = ", ".join(f"{name} {count:,}" for name, count in cut.items() if count)
    return f" Begun, but not answered within seconds after the end: {listed}." if listed else ""


def _span(found: Spread | None, digits: int, unit: str = "") -> str:
    """`median (lowest - highest)`, or nothing."""
    if found is None:
        return ""
    return f"{found.median:,.{digits}f}{unit} ({found.low:,.{digits}f} – {found.high:,.{digits}f})"
