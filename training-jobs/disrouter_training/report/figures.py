"""The paper's figures for a pool, as PNG. matplotlib is imported when a picture is drawn and not before.

Colours are Okabe and Ito's, which colour-blind readers can tell apart.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any

from disrouter.scenario import Scenario
from disrouter_training.evaluation.analysis import Analysis, Standing, shown
from disrouter_training.evaluation.scores import ALL, NAIVE, OURS, ROUTER, TOPLINE, Row
from disrouter_training.report.tables import METHODS, label

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
BY_METHOD = {TOPLINE: "#999999", NAIVE: "#56B4E9", ROUTER: "#E69F00", OURS: "#0072B2"}
NAMES = {
    Scenario.PERFORMANCE_FIRST: "Performance first",
    Scenario.BALANCE: "Balance",
    Scenario.COST_FIRST: "Cost first",
}
_WIDTH, _DPI = 9.0, 130


def figures(analysis: Analysis) -> dict[str, tuple[str, bytes]]:
    """By file name: a caption and a PNG. What has no data is not drawn."""
    out: dict[str, tuple[str, bytes]] = {}
    for split in [name for name in ("test", "heldout") if name in analysis.questions]:
        words = {"test": "in-domain", "heldout": "held-out"}[split]
        drawn: Mapping[str, tuple[str, Callable[[Analysis, str], Any]]] = {
            "utility": (f"Utility of every policy, {words}, with 95 % intervals (Tables 2 and 3)", _utility),
            "frontier": (
                f"Accuracy against cost, {words}; the line is what random mixtures of single agents reach",
                _frontier,
            ),
            "routing": (f"Who answers, {words} (Figure 4)", _routing),
            "coverage": (f"Coverage of each agent, {words} (Figure 5)", _coverage),
            "easy-hard": (
                f"Mean cost of easy and hard questions in the balance scenario, {words} (Figure 6)",
                _easy_hard,
            ),
            "answered-refused": (
                f"Accuracy on answered and on refused questions, {words} (Figure 7)",
                _answered_refused,
            ),
            "delta": (f"Newly right and forgotten when it must answer, {words} (Figure 8)", _delta),
        }
        for name, (caption, draw) in drawn.items():
            picture = _png(draw(analysis, split))
            if picture is not None:
                out[f"{split}-{name}.png"] = (caption, picture)
    return out


def _utility(analysis: Analysis, split: str) -> Any:
    """Bars by policy, a panel per scenario."""
    rows = [row for row in _rows(analysis.whole, split) if row.scenario is Scenario.BALANCE]
    policies = [row.policy for method in METHODS for row in rows if row.method == method][::-1]
    figure, panels = _canvas(3, height=0.28 * len(policies) + 1.2, sharey=True)
    for panel, scenario in zip(panels, Scenario, strict=True):
        own = {row.policy: row for row in _rows(analysis.whole, split) if row.scenario is scenario}
        for place, policy in enumerate(policies):
            row = own[policy]
            ends = [[max(0.0, row.utility.mean - row.utility.low)], [max(0.0, row.utility.high - row.utility.mean)]]
            colour = BY_METHOD[row.method]
            panel.barh(
                place, row.utility.mean, xerr=ends, color=colour, height=0.7, error_kw={"lw": 0.8, "ecolor": "#333"}
            )
        panel.set_ylim(-0.6, len(policies) - 0.4)
        panel.axvline(own[analysis.whole.headline].utility.mean, color=BY_METHOD[OURS], lw=0.8, ls=":")
        panel.set_title(f"{NAMES[scenario]} (α = {scenario.alpha})", fontsize=9)
        panel.set_xlabel("utility", fontsize=8)
    panels[0].set_yticks(range(len(policies)), [label(policy) for policy in policies], fontsize=7)
    return figure


def _frontier(analysis: Analysis, split: str) -> Any:
    """Every policy as a point, a panel per scenario."""
    figure, panels = _canvas(3, height=3.4, sharey=True)
    costs = [agent.cost for agent in analysis.agents]
    accuracies = [agent.accuracy[split] for agent in analysis.agents]
    for panel, scenario in zip(panels, Scenario, strict=True):
        panel.plot(*_hull(costs, accuracies), color="#999999", lw=1, zorder=1)
        panel.scatter(costs, accuracies, color="#999999", s=18, zorder=2)
        for agent in analysis.agents:
            panel.annotate(
                agent.name, (agent.cost, agent.accuracy[split]), (3, -9), textcoords="offset points", fontsize=6
            )
        for row in _rows(analysis.whole, split):
            if row.scenario is scenario and row.method in (ROUTER, OURS):
                ours = row.policy == analysis.whole.headline
                colour, marker = BY_METHOD[row.method], "*" if ours else "o" if row.method == OURS else "^"
                panel.scatter(row.cost, row.accuracy, color=colour, marker=marker, s=110 if ours else 22, zorder=3)
        panel.set_title(f"{NAMES[scenario]} (α = {scenario.alpha})", fontsize=9)
        panel.set_xlabel("mean cost", fontsize=8)
    panels[0].set_ylabel("accuracy", fontsize=8)
    legend = [("*", OURS, "headline cascade"), ("o", OURS, "other cascades"), ("^", ROUTER, "learned routers")]
    handles = [panels[2].scatter([], [], marker=m, color=BY_METHOD[method], label=text) for m, method, text in legend]
    panels[2].legend(handles=handles, fontsize=6, loc="lower right")
    return figure


def _routing(analysis: Analysis, split: str) -> Any:
    """Stacked shares of the headline cascade in each scenario."""
    spread = next((s for s in analysis.spreads if s.split == split and s.policy == analysis.whole.headline), None)
    if spread is None:
        return None
    figure, (panel,) = _canvas(1, height=2.6)
    left = [0.0] * len(Scenario)
    places = list(range(len(Scenario)))[::-1]
    for number, agent in enumerate(analysis.agents):
        shares = [spread.shares[scenario][number] for scenario in Scenario]
        panel.barh(places, shares, left=left, color=_colour(number), alpha=0.75, label=agent.name, height=0.6)
        for place, start, share in zip(places, left, shares, strict=True):
            if share >= 0.04:
                panel.text(
                    start + share / 2, place, f"{share:.0%}", ha="center", va="center", fontsize=7, color="white"
                )
        left = [a + b for a, b in zip(left, shares, strict=True)]
    panel.set_yticks(places, [NAMES[scenario] for scenario in Scenario], fontsize=8)
    panel.set_xlim(0, 1)
    panel.set_xlabel("share of questions", fontsize=8)
    panel.legend(fontsize=7, ncol=len(analysis.agents), loc="upper center", bbox_to_anchor=(0.5, 1.22), frameon=False)
    return figure


def _coverage(analysis: Analysis, split: str) -> Any:
    """Lines over the scenarios, a panel per training."""
    trainings = list(dict.fromkeys(d.training for d in analysis.deciding if d.split == split))[-2:]
    figure, panels = _canvas(len(trainings), height=3.0, sharey=True)
    for panel, training in zip(panels, trainings, strict=True):
        for number, agent in enumerate(analysis.agents[:-1]):
            rates = {
                d.scenario: d.coverage
                for d in analysis.deciding
                if (d.split, d.training, d.agent) == (split, training, agent.name)
            }
            values = [rates[scenario] for scenario in Scenario]
            panel.plot(range(3), values, color=_colour(number), marker="o", label=agent.name)
        panel.set_xticks(range(3), [f"{NAMES[s]}\nα = {s.alpha}" for s in Scenario], fontsize=7)
        panel.set_ylim(0, 1)
        panel.set_title(training, fontsize=9)
    panels[0].set_ylabel("coverage", fontsize=8)
    panels[-1].legend(fontsize=7)
    return figure


def _easy_hard(analysis: Analysis, split: str) -> Any:
    """Two bars per policy."""
    spreads = [s for s in analysis.spreads if s.split == split and not math.isnan(s.easy + s.hard)]
    if not spreads:
        return None
    series = {"easy": [s.easy for s in spreads], "hard": [s.hard for s in spreads]}
    return _bars([_wrapped(s.policy) for s in spreads], series, "mean cost")


def _answered_refused(analysis: Analysis, split: str) -> Any:
    """Of each agent under performance first, as in the paper."""
    training = analysis.deciding[-1].training if analysis.deciding else ""
    own = [
        d
        for d in analysis.deciding
        if (d.split, d.training, d.scenario) == (split, training, Scenario.PERFORMANCE_FIRST)
    ]
    series = {
        "selective accuracy": [d.selective_accuracy for d in own],
        "base accuracy on the refused": [d.accuracy_refused for d in own],
    }
    return _bars([d.agent for d in own], series, f"accuracy, {training}")


def _delta(analysis: Analysis, split: str) -> Any:
    """Of each agent and training."""
    trainings = list(dict.fromkeys(k.training for k in analysis.knowing))[-2:]
    own = [k for k in analysis.knowing if k.split == split and k.training in trainings]
    series = {"newly right (ΔPerformance)": [k.delta_performance for k in own], "forgotten": [k.forgotten for k in own]}
    return _bars([f"{k.agent}\n{k.training}" for k in own], series, "share of what the base model had right")


def _bars(names: Sequence[str], series: Mapping[str, Sequence[float]], what: str) -> Any:
    figure, (panel,) = _canvas(1, height=3.2)
    width = 0.8 / len(series)
    for number, (name, values) in enumerate(series.items()):
        places = [place + (number - (len(series) - 1) / 2) * width for place in range(len(names))]
        heights = [0.0 if math.isnan(value) else value for value in values]
        bars = panel.bar(places, heights, width, color=COLOURS[number], label=name)
        panel.bar_label(bars, ["-" if math.isnan(value) else f"{value:.3f}" for value in values], fontsize=6, padding=1)
    panel.set_xticks(range(len(names)), names, fontsize=7)
    panel.grid(visible=False, axis="x")
    panel.set_ylabel(what, fontsize=8)
    panel.margins(y=0.12)
    panel.legend(fontsize=7, ncol=len(series), loc="lower right", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def _canvas(panels: int, *, height: float, sharey: bool = False) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, layout="constrained")
    axes = list(figure.subplots(1, panels, sharey=sharey, squeeze=False)[0])
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.25, lw=0.5)
        axis.set_axisbelow(True)
    return figure, axes


def _png(figure: Any) -> bytes | None:
    if figure is None:
        return None
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _rows(standing: Standing, split: str) -> list[Row]:
    return [r for r in standing.rows if r.split == split and r.group == ALL and shown(standing, r.policy)]


def _wrapped(policy: str) -> str:
    """On several lines, so that names stand beside each other."""
    return "\n".join(textwrap.wrap(policy, 14))


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _hull(costs: Sequence[float], accuracies: Sequence[float]) -> tuple[list[float], list[float]]:
    """The upper concave envelope: what random mixtures between single agents reach."""
    hull: list[tuple[float, float]] = []
    for point in sorted(zip(costs, accuracies, strict=True)):
        while len(hull) >= 2 and _below(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return [cost for cost, _ in hull], [accuracy for _, accuracy in hull]


def _below(first: tuple[float, float], middle: tuple[float, float], last: tuple[float, float]) -> bool:
    """Whether the middle lies on or under the line between the others."""
    rise = (last[1] - first[1]) * (middle[0] - first[0])
    return (middle[1] - first[1]) * (last[0] - first[0]) <= rise
