"""Ways to route, each as what it makes of every single question: whether the answer is right, and what it costs. Pure.

Source: section 4.1 and Table 2 (controls), section 3.1 (the cascade), equation 10 (the probability decision).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from disrouter.scenario import Scenario
from disrouter_training.evaluation.calibration import platt
from disrouter_training.evaluation.evidence import Bools, Decisions, Floats, Ints, ModelSet, Seed, Split
from disrouter_training.evaluation.thresholds import stops, tune


@dataclass(frozen=True)
class Routed:
    """One policy on a split: `right` and `cost` are expectations where the policy draws at random."""

    right: Floats
    cost: Floats
    chosen: Ints | None = None
    """The agent that answers each question, where there is one."""

    def utility(self, alpha: float) -> Floats:
        """Of each question (eq. 2)."""
        return self.right - alpha * self.cost


def sent(right: Bools, paid: Floats, chosen: Ints) -> Routed:
    """Question q is answered by agent `chosen[q]`, which costs `paid[chosen[q]]` in all."""
    rows = np.arange(len(chosen))
    return Routed(right[rows, chosen].astype(float), paid[chosen], chosen)


def oracle(split: Split, models: ModelSet) -> Routed:
    """The cheapest base model that is right; where none is, the cheapest of all."""
    return sent(split.base, models.costs, split.base.argmax(axis=1).astype(np.int64))


def single(split: Split, models: ModelSet, agent: int) -> Routed:
    """One base model answers everything."""
    return sent(split.base, models.costs, np.full(len(split.base), agent % len(models.names)))


def best_single(tuning: Split, models: ModelSet, alpha: float) -> int:
    """The agent that alone has the best utility on the tuning split."""
    return int(np.argmax(tuning.base.mean(axis=0) - alpha * models.costs))


def random_agent(split: Split, models: ModelSet) -> Routed:
    """The expectation of a uniformly random agent, without drawing any."""
    count = len(split.base)
    return Routed(split.base.mean(axis=1), np.full(count, models.costs.mean()))


def random_mixture(split: Split, tuning: Split, models: ModelSet, cost: float) -> Routed:
    """The best random mixture between two single agents with this mean cost: which two, the tuning split says.

    It is what a router that sees nothing of the question can reach for that price.
    """
    accuracy = tuning.base.mean(axis=0)
    mixtures = [_weights(models.costs, pair, cost) for pair in combinations(range(len(models.costs)), 2)]
    weights = max(
        (each for each in mixtures if each is not None), key=lambda each: float(each @ accuracy), default=None
    )
    if weights is None:
        weights = np.eye(len(models.costs))[int(np.argmin(np.abs(models.costs - cost)))]
    return Routed(split.base @ weights, np.full(len(split.base), float(weights @ models.costs)))


def text_cascade(split: Split, decisions: Decisions, models: ModelSet, scenario: Scenario) -> Routed:
    """The cascade whose agents decide by the text of their replies under the scenario's instruction (the paper's)."""
    answers = np.hstack([~decisions.refused[scenario], np.ones((len(split.base), 1), bool)])
    chosen = answers.argmax(axis=1).astype(np.int64)
    return sent(_with_last(decisions.correct[scenario], split), models.costs, chosen)


def probability_cascade(split: Split, seed: Seed, tuning: Split, models: ModelSet, alpha: float) -> Routed:
    """Each agent answers where its competence, calibrated on the tuning split, reaches its threshold (eq. 10)."""
    decisions = seed[split.name]
    known = _willing(competences(decisions, seed[tuning.name]), decisions)
    return sent(_with_last(decisions.plain, split), models.costs, stops(known, decisions.thresholds(alpha)))


def tuned_cascade(split: Split, seed: Seed, tuning: Split, models: ModelSet, alpha: float) -> Routed:
    """The same with a threshold for each agent that is chosen on the tuning split for this pool."""
    decisions, known = seed[split.name], seed[tuning.name]
    confidence = _willing(known.confidence, known)
    thresholds = tune(confidence, _with_last(known.plain, tuning), models.costs, alpha)
    chosen = stops(_willing(decisions.confidence, decisions), thresholds)
    return sent(_with_last(decisions.plain, split), models.costs, chosen)


def competences(decisions: Decisions, tuning: Decisions) -> Floats:
    """Chance that each answer is right, by each agent's calibration on the tuning split."""
    columns = []
    for agent in range(decisions.log_odds.shape[1]):
        scaling = platt(tuning.log_odds[:, agent].tolist(), tuning.plain[:, agent].tolist())
        columns.append([scaling.competence(odds) for odds in decisions.log_odds[:, agent].tolist()])
    return np.array(columns).T


def _willing(confidence: Floats, decisions: Decisions) -> Floats:
    """Without that of replies which refuse after all: they are passed on whatever the probability says."""
    return np.where(decisions.plain_refused, -1.0, confidence)


def _with_last(right: Bools, split: Split) -> Bools:
    """Trained agents, and the base model that always answers."""
    return np.hstack([right, split.base[:, -1:]])


def _weights(costs: Floats, pair: Sequence[int], cost: float) -> Floats | None:
    """Weights of two agents that cost this much on average, None where no random mixture between them does."""
    low, high = pair
    if not costs[low] <= cost <= costs[high]:
        return None
    share = 0.0 if costs[high] == costs[low] else (cost - costs[low]) / (costs[high] - costs[low])
    weights = np.zeros(len(costs))
    weights[low], weights[high] = 1 - share, share
    return weights
