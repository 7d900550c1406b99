"""Every policy on every sheet, in every scenario and for every group of questions: Tables 2, 3, 4, 13-16. Pure.

Baselines come as functions, since fitting them is not pure: `Rival` says what a baseline makes of a sheet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from disrouter.scenario import Scenario
from disrouter_training.data.split import DEV
from disrouter_training.evaluation.bootstrap import Interval, resampler
from disrouter_training.evaluation.evidence import Bools, Evidence, Floats, Seed, Sheet
from disrouter_training.evaluation.policies import (
    Routed,
    best_single,
    cost_matched,
    oracle,
    probability_cascade,
    prompted_cascade,
    random_agent,
    single,
    tuned_cascade,
)

ALL = "all"
"""The group of every question."""
ORACLE, SMALLEST, LARGEST, RANDOM, BEST = "oracle", "smallest", "largest", "random", "best single"
PROMPT, PROBABILITY, TUNED = "prompt", "probability", "probability, tuned"
DECISIONS = (PROMPT, PROBABILITY, TUNED)
TOPLINE, NAIVE, ROUTER, OURS = "Topline", "Naive", "Router", "Self-routing"

Rival = Callable[[Evidence, str, float], Mapping[str, Sequence[Routed]]]
"""What baselines do on the sheet of this name at this alpha: rows by label, one `Routed` a seed."""


@dataclass(frozen=True)
class Row:
    """One policy on a sheet in a scenario, over its seeds."""

    sheet: str
    scenario: Scenario
    group: str
    method: str
    """Topline, Naive, Router or Self-routing, as Table 2 groups them."""
    policy: str
    accuracy: float
    cost: float
    utility: Interval
    seeds: tuple[float, ...]
    """Utility of each seed."""
    regret: float
    """Utility that the Oracle has over it."""


@dataclass(frozen=True)
class Difference:
    """Utility of one cascade minus that of another policy, question by question."""

    sheet: str
    scenario: Scenario
    group: str
    cascade: str
    policy: str
    gain: Interval


@dataclass(frozen=True)
class Field:
    """All policies on one sheet in one scenario."""

    sheet: Sheet
    scenario: Scenario
    policies: Mapping[str, Sequence[Routed]]
    methods: Mapping[str, str]


def cascade_name(training: str, decision: str) -> str:
    """`cascade SFT + RL (prompt)`."""
    return f"cascade {training} ({decision})"


def matched_name(cascade: str) -> str:
    """The lottery that costs what this cascade costs."""
    return f"cost-matched random for {cascade}"


def fields(evidence: Evidence, rivals: Sequence[Rival]) -> list[Field]:
    """Every sheet that is judged in every scenario."""
    return [_field(evidence, sheet, scenario, rivals) for sheet in evidence.judged for scenario in Scenario]


def headline(evidence: Evidence) -> str:
    """The decision of the served training whose mean utility over the scenarios is best on the tuning sheet.

    Without a dev sheet nothing is chosen: the prompted decision is the paper's.
    """
    if DEV not in evidence.sheets:
        return cascade_name(evidence.served, PROMPT)
    utilities: dict[str, float] = {}
    for scenario in Scenario:
        for name, seeds in cascades(evidence, evidence.tuning, scenario, [evidence.served]).items():
            found = float(np.mean([routed.utility(scenario.alpha).mean() for routed in seeds]))
            utilities[name] = utilities.get(name, 0.0) + found / len(Scenario)
    return max(utilities, key=utilities.__getitem__)


def cascades(
    evidence: Evidence, sheet: Sheet, scenario: Scenario, trainings: Sequence[str] | None = None
) -> dict[str, list[Routed]]:
    """What every training makes of a sheet, with each way to decide.

    Without a dev sheet that is the prompted way alone: the others would be fitted to what they are judged on.
    """
    ways = DECISIONS if DEV in evidence.sheets else (PROMPT,)
    return {
        cascade_name(training, decision): [_decide(evidence, sheet, scenario, seed, decision) for seed in seeds]
        for training, seeds in evidence.trainings.items()
        if trainings is None or training in trainings
        for decision in ways
    }


def rows(found: Sequence[Field]) -> list[Row]:
    """Scores over all questions and over each group."""
    return [row for field in found for group, mask in _groups(field.sheet).items() for row in _rows(field, group, mask)]


def differences(found: Sequence[Field], cascade: str) -> list[Difference]:
    """One cascade against every other policy but the Oracle."""
    return [
        difference
        for field in found
        for group, mask in _groups(field.sheet).items()
        for difference in _differences(field, group, mask, cascade)
    ]


def _field(evidence: Evidence, sheet: Sheet, scenario: Scenario, rivals: Sequence[Rival]) -> Field:
    lineup, alpha = evidence.lineup, scenario.alpha
    best = best_single(evidence.tuning, lineup, alpha)
    naive = {
        SMALLEST: [single(sheet, lineup, 0)],
        LARGEST: [single(sheet, lineup, -1)],
        RANDOM: [random_agent(sheet, lineup)],
        BEST: [single(sheet, lineup, best)],
    }
    ours = cascades(evidence, sheet, scenario)
    matched = {
        matched_name(name): [cost_matched(sheet, evidence.tuning, lineup, float(each.cost.mean())) for each in seeds]
        for name, seeds in ours.items()
    }
    routers = {name: seeds for rival in rivals for name, seeds in rival(evidence, sheet.name, alpha).items()}
    policies = {ORACLE: [oracle(sheet, lineup)], **naive, **matched, **routers, **ours}
    methods = {
        ORACLE: TOPLINE,
        **dict.fromkeys([*naive, *matched], NAIVE),
        **dict.fromkeys(routers, ROUTER),
        **dict.fromkeys(ours, OURS),
    }
    return Field(sheet, scenario, policies, methods)


def _decide(evidence: Evidence, sheet: Sheet, scenario: Scenario, seed: Seed, decision: str) -> Routed:
    lineup, tuning = evidence.lineup, evidence.tuning
    if decision == PROMPT:
        return prompted_cascade(sheet, seed[sheet.name], lineup, scenario)
    if decision == PROBABILITY:
        return probability_cascade(sheet, seed, tuning, lineup, scenario.alpha)
    return tuned_cascade(sheet, seed, tuning, lineup, scenario.alpha)


def _groups(sheet: Sheet) -> dict[str, Bools]:
    return {ALL: np.ones(len(sheet.questions), bool), **sheet.groups()}


def _rows(field: Field, group: str, mask: Bools) -> list[Row]:
    alpha = field.scenario.alpha
    topline = float(field.policies[ORACLE][0].utility(alpha)[mask].mean())
    out = []
    for name, seeds in field.policies.items():
        utilities = np.stack([each.utility(alpha)[mask] for each in seeds])
        interval = resampler(int(mask.sum()), len(seeds)).interval(utilities)
        out.append(
            Row(
                field.sheet.name,
                field.scenario,
                group,
                field.methods[name],
                name,
                float(np.mean([each.right[mask].mean() for each in seeds])),
                float(np.mean([each.cost[mask].mean() for each in seeds])),
                interval,
                tuple(float(value) for value in utilities.mean(axis=1)),
                topline - interval.mean,
            )
        )
    return out


def _differences(field: Field, group: str, mask: Bools, cascade: str) -> list[Difference]:
    alpha = field.scenario.alpha
    ours = np.stack([each.utility(alpha)[mask] for each in field.policies[cascade]])
    draws = resampler(int(mask.sum()), len(ours))
    out = []
    for name, seeds in field.policies.items():
        if name in (cascade, ORACLE):
            continue
        other = np.stack([each.utility(alpha)[mask] for each in seeds])
        gain = draws.interval(ours - _as_many(other, len(ours)))
        out.append(Difference(field.sheet.name, field.scenario, group, cascade, name, gain))
    return out


def _as_many(values: Floats, seeds: int) -> Floats:
    """The mean over its own seeds for each of ours, where it has another number of them."""
    return values if len(values) == seeds else np.repeat(values.mean(axis=0, keepdims=True), seeds, axis=0)
