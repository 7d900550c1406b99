"""Ways to route, each as what it makes of every single question: whether the answer is right, and what it costs. Pure.

Source: section 4.1 and Table 2 (controls), section 3.1 (the cascade), equation 10 (the probability decision).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from disrouter.refusal import REFUSAL
from disrouter.scenario import Scenario
from disrouter_training.evaluation.calibration import PROBED, calibrate
from disrouter_training.evaluation.evidence import Bools, Decisions, Floats, Ints, Lineup, Seed, Sheet
from disrouter_training.evaluation.thresholds import stops, tune


@dataclass(frozen=True)
class Routed:
    """One policy on a sheet: `right` and `cost` are expectations where the policy draws lots."""

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


def oracle(sheet: Sheet, lineup: Lineup) -> Routed:
    """The cheapest base model that is right; where none is, the cheapest of all."""
    return sent(sheet.base, lineup.costs, sheet.base.argmax(axis=1).astype(np.int64))


def single(sheet: Sheet, lineup: Lineup, agent: int) -> Routed:
    """One base model answers everything."""
    return sent(sheet.base, lineup.costs, np.full(len(sheet.base), agent % len(lineup.names)))


def best_single(tuning: Sheet, lineup: Lineup, alpha: float) -> int:
    """The agent that alone has the best utility on the tuning sheet."""
    return int(np.argmax(tuning.base.mean(axis=0) - alpha * lineup.costs))


def random_agent(sheet: Sheet, lineup: Lineup) -> Routed:
    """The expectation of a uniformly random agent, without drawing any."""
    count = len(sheet.base)
    return Routed(sheet.base.mean(axis=1), np.full(count, lineup.costs.mean()))


def cost_matched(sheet: Sheet, tuning: Sheet, lineup: Lineup, cost: float) -> Routed:
    """The best lottery between two single agents with this mean cost: which two, the tuning sheet says.

    It is what a router that sees nothing of the question can reach for that price.
    """
    accuracy = tuning.base.mean(axis=0)
    mixtures = [_mixture(lineup.costs, pair, cost) for pair in combinations(range(len(lineup.costs)), 2)]
    weights = max(
        (each for each in mixtures if each is not None), key=lambda each: float(each @ accuracy), default=None
    )
    if weights is None:
        weights = np.eye(len(lineup.costs))[int(np.argmin(np.abs(lineup.costs - cost)))]
    return Routed(sheet.base @ weights, np.full(len(sheet.base), float(weights @ lineup.costs)))


def prompted_cascade(sheet: Sheet, decisions: Decisions, lineup: Lineup, scenario: Scenario) -> Routed:
    """The cascade whose agents decide by their first words under the scenario's instruction (the paper's)."""
    answers = np.hstack([~decisions.refused[scenario], np.ones((len(sheet.base), 1), bool)])
    chosen = answers.argmax(axis=1).astype(np.int64)
    return sent(_with_last(decisions.correct[scenario], sheet), lineup.costs, chosen)


def probability_cascade(sheet: Sheet, seed: Seed, tuning: Sheet, lineup: Lineup, alpha: float) -> Routed:
    """Each agent answers where its competence, calibrated on the tuning sheet, reaches its threshold (eq. 10)."""
    decisions = seed[sheet.name]
    known = competences(decisions, seed[tuning.name])
    return sent(_with_last(decisions.forced, sheet), lineup.costs, stops(known, decisions.thresholds(alpha)))


def tuned_cascade(sheet: Sheet, seed: Seed, tuning: Sheet, lineup: Lineup, alpha: float) -> Routed:
    """The same with a threshold for each agent that is chosen on the tuning sheet for this pool."""
    decisions, known = seed[sheet.name], seed[tuning.name]
    thresholds = tune(1 - known.chance, _with_last(known.forced, tuning), lineup.costs, alpha)
    return sent(_with_last(decisions.forced, sheet), lineup.costs, stops(1 - decisions.chance, thresholds))


def competences(decisions: Decisions, tuning: Decisions) -> Floats:
    """Chance that each answer is right, by each agent's calibration on the tuning sheet."""
    columns = []
    for agent in range(decisions.chance.shape[1]):
        table = calibrate(tuning.chance[:, agent].tolist(), tuning.forced[:, agent].tolist(), REFUSAL, PROBED)
        columns.append([table.competence(chance) for chance in decisions.chance[:, agent].tolist()])
    return np.array(columns).T


def _with_last(right: Bools, sheet: Sheet) -> Bools:
    """Trained agents, and the base model that always answers."""
    return np.hstack([right, sheet.base[:, -1:]])


def _mixture(costs: Floats, pair: Sequence[int], cost: float) -> Floats | None:
    """Weights of two agents that cost this much on average, None where no lottery between them does."""
    low, high = pair
    if not costs[low] <= cost <= costs[high]:
        return None
    share = 0.0 if costs[high] == costs[low] else (cost - costs[low]) / (costs[high] - costs[low])
    weights = np.zeros(len(costs))
    weights[low], weights[high] = 1 - share, share
    return weights
