"""A report as aligned text for people and as JSON for machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from disrouter.scenario import Scenario
from disrouter_training.cascade import ALL, Score, Terminal, Trained


def as_json(agents: Sequence[Trained], terminal: Terminal, scores: Sequence[Score]) -> dict[str, Any]:
    """Everything in the tables and a little more, unrounded."""
    return {
        "agents": [{"name": agent.name, "cost": agent.cost, **agent.evaluation.dump()} for agent in agents],
        "terminal": {"name": terminal.name, "cost": terminal.cost, "accuracy": terminal.accuracy},
        "scores": [asdict(item) for item in scores],
    }


def as_text(agents: Sequence[Trained], terminal: Terminal, scores: Sequence[Score]) -> str:
    """Agents first, then every policy in every scenario, and the cascade by kind of question if there are kinds."""
    parts = [f"Agents on {len(terminal.correct)} evaluation questions", _agents(agents, terminal)]
    parts += ["", "Cascade and controls (accuracy, mean cost, utility = accuracy - alpha * cost)", _policies(scores)]
    groups = sorted({item.group for item in scores} - {ALL})
    if groups:
        parts += ["", "Utility by kind of question", _kinds(scores, groups)]
    return "\n".join(parts)


def _agents(agents: Sequence[Trained], terminal: Terminal) -> str:
    answers = [f"answers {_short(scenario)}" for scenario in Scenario]
    header = ["agent", "cost", "base acc", "forced acc", *answers, "self-assess acc", "F1"]
    rows = [header]
    for agent in agents:
        result = agent.evaluation
        by_scenario = {item.scenario: item for item in result.scenarios}
        balance = by_scenario[Scenario.BALANCE]
        rates = [_number(by_scenario[scenario].answer_rate) for scenario in Scenario]
        accuracies = [_number(result.base_accuracy), _number(result.forced_accuracy)]
        assessment = [_number(balance.self_assessment_accuracy), _number(balance.self_assessment_f1)]
        rows.append([agent.name, _number(agent.cost), *accuracies, *rates, *assessment])
    always = [_number(1.0)] * len(Scenario)
    rows.append([terminal.name, _number(terminal.cost), _number(terminal.accuracy), "-", *always, "-", "-"])
    return f"{_aligned(rows)}\n(answers: share answered; self-assessment: balance scenario)"


def _policies(scores: Sequence[Score]) -> str:
    chosen = {(item.scenario, item.policy): item for item in scores if item.group == ALL}
    rows = [["policy", *(f"{_short(s)} {what}" for s in Scenario for what in ("acc", "cost", "utility"))]]
    for policy in dict.fromkeys(item.policy for item in scores):
        cells = [chosen[scenario, policy] for scenario in Scenario]
        rows.append([policy, *(_number(value) for c in cells for value in (c.accuracy, c.cost, c.utility))])
    return _aligned(rows)


def _kinds(scores: Sequence[Score], groups: Sequence[str]) -> str:
    chosen = {(item.scenario, item.group, item.policy): item.utility for item in scores}
    rows = [["policy", *(f"{group} {_short(scenario)}" for group in groups for scenario in Scenario)]]
    for policy in dict.fromkeys(item.policy for item in scores):
        cells = [chosen[scenario, group, policy] for group in groups for scenario in Scenario]
        rows.append([policy, *map(_number, cells)])
    return _aligned(rows)


def _short(scenario: Scenario) -> str:
    """`performance-first` -> `perf`: three of them must fit on a line."""
    return {Scenario.PERFORMANCE_FIRST: "perf", Scenario.BALANCE: "balance", Scenario.COST_FIRST: "cost"}[scenario]


def _number(value: float) -> str:
    return f"{value:.3f}"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned names, right-aligned numbers."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for first, *rest in rows:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)
