"""What agents know of themselves and what the cascade does with it: Tables 1, 5, 6 and Figures 4-8. Pure.

Every number is a mean over the seeds of a training, unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

from disrouter.scenario import Scenario
from disrouter_training.evaluation.evidence import Bools, Evidence, Floats, Ints, Seed, Split
from disrouter_training.evaluation.judgement import self_assessment
from disrouter_training.evaluation.policies import Routed


@dataclass(frozen=True)
class Deciding:
    """An agent alone under one scenario, on one split."""

    split: str
    training: str
    agent: str
    scenario: Scenario
    coverage: float
    """Figure 5."""
    selective_accuracy: float
    """Share of its answers that are right (Figure 7)."""
    accuracy_refused: float
    """Share of the questions it refuses that its base model answers right (Figure 7)."""
    self_assessment_accuracy: float
    """Share of questions on which `it answers` equals `it would be right` (section 4.3)."""
    self_assessment_f1: float
    false_accept: float
    """Share of the questions it would get wrong that it answers all the same."""


@dataclass(frozen=True)
class Knowing:
    """What training did to an agent, whatever the scenario."""

    split: str
    training: str
    agent: str
    base_accuracy: float
    must_answer_accuracy: float
    delta_performance: float
    """Newly right when it must answer, relative to what the base model had right (Appendix J, with greedy replies)."""
    forgotten: float
    """No longer right when it must answer, relative to the same."""
    auc: float
    """Area under the curve of the odds against a refusal as predictor of `it would be right`; nan without errors."""


@dataclass(frozen=True)
class PredictorScore:
    """A predictor of `this base model answers this question right`, on a balanced sample (Table 5, Appendix I)."""

    split: str
    agent: str
    kind: str
    predictor: str
    questions: int
    accuracy: float
    f1: float
    auc: float


def deciding(evidence: Evidence, split: Split, training: str) -> list[Deciding]:
    """Every deciding agent in every scenario."""
    seeds = evidence.trainings[training]
    out = []
    for agent, name in enumerate(evidence.models.names[:-1]):
        for scenario in Scenario:
            numbers = np.array([_deciding(split, seed, agent, scenario) for seed in seeds])
            out.append(Deciding(split.name, training, name, scenario, *map(float, _nanmean(numbers))))
    return out


def knowing(evidence: Evidence, split: Split, training: str) -> list[Knowing]:
    """Every deciding agent."""
    out = []
    for agent, name in enumerate(evidence.models.names[:-1]):
        numbers = np.array([_knowing(split, seed, agent) for seed in evidence.trainings[training]])
        out.append(Knowing(split.name, training, name, *map(float, _nanmean(numbers))))
    return out


def predictor_score(
    split: Split,
    agent: tuple[int, str],
    predictor: tuple[str, str],
    beliefs: Sequence[Floats],
    decided: Sequence[Bools],
) -> PredictorScore:
    """A predictor's accuracy, F1 and AUC over its seeds, on one sample of as many right as wrong questions.

    `agent` is a column of the split and its name, `predictor` a kind and a name; `beliefs` rise with competence and
    `decided` says `can solve it`, an array per seed.
    """
    truth = split.base[:, agent[0]]
    chosen = balanced(truth)
    right = truth[chosen]
    numbers = []
    for belief, decision in zip(beliefs, decided, strict=True):
        accuracy, f1 = assessment(decision[chosen], right)
        numbers.append((accuracy, f1, area(belief[chosen], right)))
    return PredictorScore(split.name, agent[1], *predictor, len(chosen), *map(float, _nanmean(np.array(numbers))))


def balanced(truth: Bools, seed: int = 0) -> Ints:
    """Indices of as many True as False."""
    rng = np.random.default_rng(seed)
    yes, no = np.flatnonzero(truth), np.flatnonzero(~truth)
    count = min(len(yes), len(no))
    return np.sort(np.concatenate([rng.choice(yes, count, replace=False), rng.choice(no, count, replace=False)]))


def assessment(decided: Bools, right: Bools) -> tuple[float, float]:
    """Accuracy and F1 of `it answers` as a prediction of `it would be right` (Table 5)."""
    if len(right) == 0:
        return float("nan"), float("nan")
    return self_assessment(decided.tolist(), right.tolist())


def area(belief: Floats, right: Bools) -> float:
    """Area under the ROC curve; nan where all are right or all wrong."""
    return float("nan") if right.all() or not right.any() else float(roc_auc_score(right, belief))


def distribution(routed: Sequence[Routed], agents: int) -> Floats:
    """Share of questions that each agent answers (Figure 4)."""
    counts = [np.bincount(each.chosen, minlength=agents) for each in routed if each.chosen is not None]
    return np.asarray(np.mean(counts, axis=0) / len(routed[0].right), float)


def easy(split: Split) -> Bools:
    """Questions that a base model of the cheaper part of the pool answers right; of five agents the first three."""
    agents = split.base.shape[1]
    return np.asarray(split.base[:, : max(1, (agents + 1) // 2)].any(axis=1))


def easy_hard(routed: Sequence[Routed], mask: Bools) -> tuple[float, float]:
    """Mean cost of easy and of hard questions (Figure 6); nan where there are none."""
    costs = np.mean([each.cost for each in routed], axis=0)
    return _mean(costs[mask]), _mean(costs[~mask])


def _deciding(split: Split, seed: Seed, agent: int, scenario: Scenario) -> tuple[float, ...]:
    own = seed[split.name]
    answered, must_answer = ~own.refused[scenario][:, agent], own.must_answer[:, agent]
    accuracy, f1 = assessment(answered, must_answer)
    return (
        float(answered.mean()),
        _mean(own.correct[scenario][answered, agent]),
        _mean(split.base[~answered, agent]),
        accuracy,
        f1,
        _mean(answered[~must_answer]),
    )


def _knowing(split: Split, seed: Seed, agent: int) -> tuple[float, ...]:
    own, base = seed[split.name], split.base[:, agent]
    must_answer = own.must_answer[:, agent]
    known = max(1, int(base.sum()))
    return (
        float(base.mean()),
        float(must_answer.mean()),
        int((must_answer & ~base).sum()) / known,
        int((base & ~must_answer).sum()) / known,
        area(own.confidence[:, agent], must_answer),
    )


def _mean(values: Bools | Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _nanmean(numbers: Floats) -> Floats:
    """Column means without the seeds that have no such questions; nan where none has."""
    known = ~np.isnan(numbers)
    counts = known.sum(axis=0)
    sums = np.where(known, numbers, 0.0).sum(axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
