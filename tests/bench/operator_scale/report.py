"""The numbers as a section of docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

from bench.operator_scale.cascades import AGENTS, CHILDREN
from bench.operator_scale.measure import Poison, Result

_PER_HOUR = 3600


def section(results: Sequence[Result], poison: Poison) -> str:
    """Markdown: creation beside the rival, then life at rest, then poison."""
    return "\n".join([*_head(), "", *_creation(results), "", *_rest(results), "", *_poison(poison)])


def _head() -> list[str]:
    return [
        "## Operator",
        "",
        f"`make bench-operator`. Cascades of {AGENTS} agents ({CHILDREN} children each) in one namespace of a real",
        "etcd and kube-apiserver, a fresh one for each size. The rival is a hand-written watch loop that posts the",
        "same children and nothing else: no status, no drift, no ownership, no deletion. Both have four workers,",
        f"no rate limit, and share {os.cpu_count()} cores with the control plane. Python {platform.python_version()},",
        f"{platform.system()} {platform.release()}.",
    ]


def _creation(results: Sequence[Result]) -> list[str]:
    rows = [
        "| cascades | all children, s | per cascade, ms | rival, s | ratio | CPU per cascade, ms | rival, ms | ratio "
        "| requests per cascade | reconciles per cascade |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for each in results:
        ours, rival = each.operator, each.loop
        rows.append(
            f"| {each.cascades:,} | {ours.seconds:.1f} | {_each(ours.seconds, each)} | {rival.seconds:.1f} "
            f"| {ours.seconds / rival.seconds:.1f} | {_each(ours.cpu, each)} | {_each(rival.cpu, each)} "
            f"| {ours.cpu / max(rival.cpu, 0.01):.1f} | {each.requests:.1f} | {each.reconciles:.1f} |"
        )
    return rows


def _rest(results: Sequence[Result]) -> list[str]:
    rows = [
        "At rest: one edit of one cascade until its route table says so (median), then nothing but the resync.",
        "",
        "| cascades | edit, ms | writes per hour | reconciles per hour | CPU, % of a core | peak, MiB | rival, MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in results:
        hour = _PER_HOUR / each.rest_seconds
        rows.append(
            f"| {each.cascades:,} | {each.edit * 1000:.0f} | {each.rest_writes * hour:.0f} "
            f"| {each.rest_passes * hour:,.0f} | {100 * each.rest_cpu / each.rest_seconds:.1f} "
            f"| {each.memory:.0f} | {each.loop.memory:.0f} |"
        )
    watched = results[-1].rest_seconds
    return [*rows, "", f"Watched for {watched:.0f} s and reckoned up to an hour."]


def _poison(poison: Poison) -> list[str]:
    return [
        f"Poison: {poison.cascades:,} healthy cascades have all children after {poison.alone:.1f} s; beside as many",
        "that are invalid or whose child the API server refuses for ever, "
        f"after {poison.among:.1f} s ({poison.among / poison.alone:.2f} times).",
    ]


def _each(seconds: float, result: Result) -> str:
    return f"{1000 * seconds / result.cascades:.0f}"
