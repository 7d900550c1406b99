"""The picture of a run: CPU for the same work, time added to the first token, memory."""

from __future__ import annotations

import statistics
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot
from matplotlib.axes import Axes

from bench import summary
from bench.samples import Results
from bench.summary import spread
from bench.workloads import FAST, FIRST, LONG, PACED, TINY

COLOURS = {"nginx": "#8a8f98", "sidecar": "#0f766e", "vllm-router": "#d97706", "litellm": "#b4534b"}
INK, FAINT = "#1f2933", "#d9dee4"
CPU_ROWS = {TINY: "tiny answers", FAST: "fast streams", PACED: "paced streams", LONG: "100 KB prompts"}
KIB_PER_MIB = 1024


def draw(results: Results, path: Path) -> None:
    """Write the picture; the ending of `path` says in which format."""
    pyplot.rcParams.update({"font.family": "DejaVu Sans", "font.size": 10, "text.color": INK, "axes.labelcolor": INK})
    figure, (cpu, first, memory) = pyplot.subplots(1, 3, figsize=(13.5, 4.6), width_ratios=(1.7, 1.0, 1.0))
    _cpu(cpu, results)
    _dots(first, "µs added to the first token", _first_token(results))
    _dots(memory, "MiB with 1,000 open streams", _open_memory(results))
    figure.suptitle("The sidecar beside other proxies: less is better", x=0.012, ha="left", size=14, weight="bold")
    figure.tight_layout(rect=(0, 0, 1, 0.97), w_pad=3)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _cpu(axes: Axes, results: Results) -> None:
    """Ratios to nginx on a logarithmic axis, one line a workload, with the range over the rounds."""
    names = [name for name in COLOURS if name != "nginx"]
    for row, workload in enumerate(CPU_ROWS):
        found = summary.rounds(results.samples, workload.name)
        for name in names:
            seen = spread(summary.ratios(found, name, "nginx", summary.cpu_us))
            if seen is None:
                continue
            axes.plot([seen.low, seen.high], [row, row], color=COLOURS[name], lw=4, alpha=0.3, solid_capstyle="round")
            axes.plot(seen.median, row, "o", ms=9, color=COLOURS[name], zorder=3)
            _label(axes, name, seen.median, row)
    for name in [name for name in names if any(sample.target == name for sample in results.samples)]:
        axes.plot([], [], "o", ms=8, color=COLOURS[name], label=name)
    axes.axvline(1, color=COLOURS["nginx"], lw=1.5)
    axes.set_xscale("log")
    axes.set_yticks(range(len(CPU_ROWS)), list(CPU_ROWS.values()))
    axes.set_ylim(len(CPU_ROWS) - 0.5, -0.6)
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, -0.3), ncols=3, handletextpad=0.1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
    _dress(axes, "CPU for the same work, nginx = 1")
    axes.grid(axis="x", color=FAINT, lw=0.8)


def _label(axes: Axes, name: str, value: float, row: int) -> None:
    """The sidecar's numbers above the line, in bold; the others' below, so that close ones do not overlap."""
    ours = name == "sidecar"
    place, anchor, weight = (9, "bottom", "bold") if ours else (-9, "top", "normal")
    axes.annotate(
        _number(value),
        (value, row),
        (0, place),
        textcoords="offset points",
        ha="center",
        va=anchor,
        size=9,
        weight=weight,
        color=COLOURS[name],
    )


def _first_token(results: Results) -> dict[str, float]:
    found = summary.rounds(results.samples, FIRST.name)
    values = {name: summary.added(found, name, summary.first_token_us) for name in COLOURS}
    return {name: statistics.median(numbers) for name, numbers in values.items() if numbers}


def _open_memory(results: Results) -> dict[str, float]:
    values = {name: [one.open_kib / KIB_PER_MIB for one in results.memory if one.target == name] for name in COLOURS}
    return {name: statistics.median(numbers) for name, numbers in values.items() if numbers}


def _dots(axes: Axes, title: str, values: dict[str, float]) -> None:
    """One dot a target with its number, on a logarithmic axis."""
    _dress(axes, title)
    axes.spines["bottom"].set_visible(False)
    axes.xaxis.set_visible(False)
    if not values:
        axes.yaxis.set_visible(False)
        return
    least = min(values.values()) / 4
    for row, (name, value) in enumerate(values.items()):
        axes.plot([least, value], [row, row], color=FAINT, lw=2, zorder=1)
        axes.plot(value, row, "o", ms=11, color=COLOURS[name], zorder=3)
        weight = "bold" if name == "sidecar" else "normal"
        axes.annotate(
            _number(value),
            (value, row),
            (11, 0),
            textcoords="offset points",
            va="center",
            weight=weight,
            color=COLOURS[name],
        )
    axes.set_xscale("log")
    axes.set_xlim(least, max(values.values()) * 4)
    axes.set_yticks(range(len(values)), list(values))
    axes.set_ylim(len(values) - 0.4, -0.6)


def _dress(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", size=11, pad=12, color=INK)
    axes.tick_params(which="both", length=0, colors=INK)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"
