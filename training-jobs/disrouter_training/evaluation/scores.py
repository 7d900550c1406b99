"""Every policy on every split, in every scenario and for every group of questions: Tables 2, 3, 4, 13-16. Pure.

Baselines come as functions, since fitting them is not pure: `BaselineRouting` says what a baseline makes of a split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from disrouter.scenario import Scenario
from disrouter_training.data.split import DEV
from disrouter_training.evaluation.bootstrap import Interval, resampler
from disrouter_training.evaluation.evidence import Bools, Evidence, Floats, Seed, Split
from disrouter_training.evaluation.policies import (
    Routed,
    best_single,
    oracle,
    probability_cascade,
    random_agent,
    random_mixture,
    single,
    text_cascade,
    tuned_cascade,
)

ALL = "all"
"""The group of every question."""
MACRO = "macro average"
"""Every question, each kind counting alike: the paper's mean over datasets."""
ORACLE, SMALLEST, LARGEST, RANDOM, BEST = "oracle", "smallest", "largest", "random", "best single"
TEXT, PROBABILITY, TUNED = "text", "probability", "probability, tuned"
DECISIONS = (TEXT, PROBABILITY, TUNED)
TOPLINE, NAIVE, ROUTER, OURS = "Topline", "Naive", "Router", "Self-routing"

BaselineRouting = Callable[[Evidence, str, float], Mapping[str, Sequence[Routed]]]
"""What baselines do on the split of this name at this alpha: rows by label, one `Routed` per seed."""


@dataclass(frozen=True)
class Row:
    """One policy on a split in a scenario, over its seeds."""

    split: str
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

    split: str
    scenario: Scenario
    group: str
    cascade: str
    policy: str
    gain: Interval


@dataclass(frozen=True)
class Field:
    """All policies on one split in one scenario."""

    split: Split
    scenario: Scenario
    policies: Mapping[str, Sequence[Routed]]
    methods: Mapping[str, str]


def cascade_name(training: str, decision: str) -> str:
    """`cascade SFT + RL (text)`."""
    return f"cascade {training} ({decision})"


def mixture_name(cascade: str) -> str:
    """The random mixture that costs what this cascade costs."""
    return f"random mixture at the cost of {cascade}"


def fields(evidence: Evidence, baselines: Sequence[BaselineRouting]) -> list[Field]:
    """Every split that is judged in every scenario."""
    return [_field(evidence, split, scenario, baselines) for split in evidence.judged for scenario in Scenario]


def headline(evidence: Evidence) -> str:
    """The decision of the served training whose mean utility over the scenarios is best on the tuning split.

    Without a dev split nothing is chosen: the text decision is the paper's.
    """
    if DEV not in evidence.splits:
        return cascade_name(evidence.served, TEXT)
    utilities: dict[str, float] = {}
    for scenario in Scenario:
        for name, seeds in cascades(evidence, evidence.tuning, scenario, [evidence.served]).items():
            found = float(np.mean([routed.utility(scenario.alpha).mean() for routed in seeds]))
            utilities[name] = utilities.get(name, 0.0) + found / len(Scenario)
    return max(utilities, key=utilities.__getitem__)


def cascades(
    evidence: Evidence, split: Split, scenario: Scenario, trainings: Sequence[str] | None = None
) -> dict[str, list[Routed]]:
    """What every training makes of a split, with each way to decide.

    Without a dev split that is the text decision alone: the others would be fitted to what they are judged on.
    """
    ways = DECISIONS if DEV in evidence.splits else (TEXT,)
    return {
        cascade_name(training, decision): [_decide(evidence, split, scenario, seed, decision) for seed in seeds]
        for training, seeds in evidence.trainings.items()
        if trainings is None or training in trainings
        for decision in ways
    }


def rows(found: Sequence[Field]) -> list[Row]:
    """Scores over all questions and over each group."""
    return [row for field in found for group in _groups(field.split) for row in _rows(field, group)]


def differences(found: Sequence[Field], cascade: str) -> list[Difference]:
    """One cascade against every other policy but the Oracle."""
    return [
        difference
        for field in found
        for group in _groups(field.split)
        for difference in _differences(field, group, cascade)
    ]


def _field(evidence: Evidence, split: Split, scenario: Scenario, baselines: Sequence[BaselineRouting]) -> Field:
    models, alpha = evidence.models, scenario.alpha
    best = best_single(evidence.tuning, models, alpha)
    naive = {
        SMALLEST: [single(split, models, 0)],
        LARGEST: [single(split, models, -1)],
        RANDOM: [random_agent(split, models)],
        BEST: [single(split, models, best)],
    }
    ours = cascades(evidence, split, scenario)
    mixtures = {
        mixture_name(name): [random_mixture(split, evidence.tuning, models, float(each.cost.mean())) for each in seeds]
        for name, seeds in ours.items()
    }
    routers = {name: seeds for baseline in baselines for name, seeds in baseline(evidence, split.name, alpha).items()}
    policies = {ORACLE: [oracle(split, models)], **naive, **mixtures, **routers, **ours}
    methods = {
        ORACLE: TOPLINE,
        **dict.fromkeys([*naive, *mixtures], NAIVE),
        **dict.fromkeys(routers, ROUTER),
        **dict.fromkeys(ours, OURS),
    }
    return Field(split, scenario, policies, methods)


def _decide(evidence: Evidence, split: Split, scenario: Scenario, seed: Seed, decision: str) -> Routed:
    models, tuning = evidence.models, evidence.tuning
    if decision == TEXT:
        return text_cascade(split, seed[split.name], models, scenario)
    if decision == PROBABILITY:
        return probability_cascade(split, seed, tuning, models, scenario.alpha)
    return tuned_cascade(split, seed, tuning, models, scenario.alpha)


@dataclass(frozen=True)
class _Group:
    """Some questions of a split; means over them are weighted by `weights`, which are 1 on average."""

    name: str
    mask: Bools
    weights: Floats

    def of(self, values: Floats | Bools) -> Floats:
        """Values [questions] of the group, weighted so that their plain mean is the group's."""
        return np.asarray(values[self.mask] * self.weights, float)


def _groups(split: Split) -> list[_Group]:
    """All, the kinds, their macro average, and the families."""
    everything, balance = np.ones(len(split.questions), bool), split.balance()
    kinds = split.kinds()
    plain = {ALL: everything, **kinds}
    families = {name: mask for name, mask in split.groups().items() if name not in kinds}
    macro = [] if balance is None else [_Group(MACRO, everything, balance)]
    return [*_plain(plain), *macro, *_plain(families)]


def _plain(masks: Mapping[str, Bools]) -> list[_Group]:
    return [_Group(name, mask, np.ones(int(mask.sum()))) for name, mask in masks.items()]


def _rows(field: Field, group: _Group) -> list[Row]:
    alpha = field.scenario.alpha
    topline = float(group.of(field.policies[ORACLE][0].utility(alpha)).mean())
    out = []
    for name, seeds in field.policies.items():
        utilities = np.stack([group.of(each.utility(alpha)) for each in seeds])
        interval = resampler(len(group.weights), len(seeds)).interval(utilities)
        out.append(
            Row(
                field.split.name,
                field.scenario,
                group.name,
                field.methods[name],
                name,
                float(np.mean([group.of(each.right).mean() for each in seeds])),
                float(np.mean([group.of(each.cost).mean() for each in seeds])),
                interval,
                tuple(float(value) for value in utilities.mean(axis=1)),
                topline - interval.mean,
            )
        )
    return out


def _differences(field: Field, group: _Group, cascade: str) -> list[Difference]:
    alpha = field.scenario.alpha
    ours = np.stack([group.of(each.utility(alpha)) for each in field.policies[cascade]])
    draws = resampler(len(group.weights), len(ours))
    out = []
    for name, seeds in field.policies.items():
        if name in (cascade, ORACLE):
            continue
        other = np.stack([group.of(each.utility(alpha)) for each in seeds])
        gain = draws.interval(ours - _as_many(other, len(ours)))
        out.append(Difference(field.split.name, field.scenario, group.name, cascade, name, gain))
    return out


def _as_many(values: Floats, seeds: int) -> Floats:
    """The mean over its own seeds for each of ours, where it has another number of them."""
    return values if len(values) == seeds else np.repeat(values.mean(axis=0, keepdims=True), seeds, axis=0)
