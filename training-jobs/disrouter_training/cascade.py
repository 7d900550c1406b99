"""What a cascade of evaluated agents is worth: Tables 1, 2 and 5 of the paper for these agents. Pure.

Agents are joined by question. The cascade is scored by what its trained agents did; the controls (smallest, largest,
random, Oracle) by the base models when they must answer, as in Table 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from disrouter.artifacts import Evaluation
from disrouter.scenario import Scenario
from disrouter.utility import Outcome, cascade_choice, oracle, outcome, random_control, regret, single
from disrouter_training.errors import DatasetError

Prediction = Mapping[str, Any]
"""A row of `predictions.jsonl`."""
ALL = "all"
"""The group of every question."""


@dataclass(frozen=True)
class Trained:
    """An agent that refuses or answers."""

    name: str
    cost: float
    evaluation: Evaluation
    predictions: Sequence[Prediction]


@dataclass(frozen=True)
class Terminal:
    """The agent that always answers: whether it is right, by question id."""

    name: str
    cost: float
    correct: Mapping[str, bool]

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return sum(self.correct.values()) / len(self.correct)


@dataclass(frozen=True)
class Score:
    """One policy in one scenario, on one group of questions."""

    scenario: Scenario
    group: str
    policy: str
    accuracy: float
    cost: float
    utility: float
    regret: float
    """Utility that the Oracle has over it."""


def score(agents: Sequence[Trained], terminal: Terminal) -> list[Score]:
    """Every policy in every scenario, over all questions and over each kind where questions have one."""
    scores: list[Score] = []
    for scenario in Scenario:
        tables = [_by_id(agent, scenario) for agent in agents]
        _check_same_questions(agents, tables, terminal)
        ids = sorted(terminal.correct)
        kinds = {key: tables[0][key].get("kind") for key in ids}
        groups = {ALL: ids}
        for kind in sorted({str(kind) for kind in kinds.values() if kind}):
            groups[kind] = [key for key in ids if kinds[key] == kind]
        costs = [*(agent.cost for agent in agents), terminal.cost]
        for group, members in groups.items():
            scores += _score_group(scenario, group, ids=members, tables=tables, terminal=terminal, costs=costs)
    return scores


def _score_group(
    scenario: Scenario,
    group: str,
    *,
    ids: Sequence[str],
    tables: Sequence[Mapping[str, Prediction]],
    terminal: Terminal,
    costs: Sequence[float],
) -> list[Score]:
    base = [[*(int(table[key]["base_correct"]) for table in tables), int(terminal.correct[key])] for key in ids]
    trained = [[*(int(table[key]["correct"]) for table in tables), int(terminal.correct[key])] for key in ids]
    refuses = [[*(bool(table[key]["refused"]) for table in tables), False] for key in ids]
    best = oracle(base, costs)
    policies: dict[str, Outcome] = {
        "cascade": outcome(trained, costs, cascade_choice(refuses)),
        "smallest": single(base, costs, 0),
        "largest": single(base, costs, -1),
        "random": random_control(base, costs),
        "oracle": best,
    }
    alpha = scenario.alpha
    return [
        Score(scenario, group, name, o.performance, o.cost, o.utility(alpha), regret(o, best, alpha))
        for name, o in policies.items()
    ]


def _by_id(agent: Trained, scenario: Scenario) -> dict[str, Prediction]:
    return {str(row["id"]): row for row in agent.predictions if row["scenario"] == scenario}


def _check_same_questions(
    agents: Sequence[Trained], tables: Sequence[Mapping[str, Prediction]], terminal: Terminal
) -> None:
    for agent, table in zip(agents, tables, strict=True):
        differing = table.keys() ^ terminal.correct.keys()
        if differing:
            raise DatasetError(
                f"agent {agent.name} and {terminal.name} were asked different questions ({len(differing)} differ, for "
                f"example {min(differing)}); evaluate all agents of a report with the same datasets and seed"
            )
