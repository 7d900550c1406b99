"""The soak's section of docs/benchmarks.md."""

from __future__ import annotations

from bench.flatness import GROWTH, WARM_UP, Soak

KIB_PER_MIB = 1024


def render(soak: Soak) -> str:
    """Markdown."""
    faults = soak.faults()
    verdict = "Held" if not faults else "**Did not hold**"
    lines = [
        "## Soak",
        "",
        f"`make soak` (`{soak.command}`), {soak.date}: {soak.minutes:g} minutes at full load through a chain of "
        f"{len(soak.sidecars)} sidecars on one core; the engines of all but the last refuse every second request.",
        f"Machine: {soak.machine}.",
        "",
        f"{verdict}: memory flat (growth after the first {WARM_UP:.0%} of the time, by Theil-Sen slope, at most "
        f"{GROWTH:.0%}), no connection left open when everybody had gone, no request lost or wrong.",
    ]
    lines += ["", *(f"- {fault}" for fault in faults)] if faults else []
    lines += [
        "",
        "| sidecar | memory, MiB | growth | KiB per minute | most files open | connections left | CPU, s |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in soak.sidecars:
        low, high = (pick(kib for _, kib in one.settled()) / KIB_PER_MIB for pick in (min, max))
        lines.append(
            f"| {one.name} | {one.median_kib / KIB_PER_MIB:.1f} ({low:.1f} – {high:.1f}) | {one.growth:+.1%} | "
            f"{one.kib_per_minute:+.1f} | {one.most_files} | {len(one.left)} | {one.cpu_seconds:.0f} |"
        )
    lines += ["", "| clients | sent | answered | hung up on purpose | failed | lost |", "|---|---|---|---|---|---|"]
    for kind in soak.traffic:
        lines.append(
            f"| {kind.name} | {kind.started:,} | {kind.answered:,} | {kind.aborted:,} | {kind.failed} | {kind.cut} |"
        )
    return "\n".join(lines)
