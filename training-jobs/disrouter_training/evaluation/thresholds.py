"""Thresholds on the confidence of each agent of a cascade, chosen where the right answers are known. Pure.

Agent k answers where its confidence reaches its threshold and forwards otherwise; the last always answers. One
threshold has an optimum that is found exactly when the others stand still, so a few sweeps over the agents suffice.
The cascades of FrugalGPT and AutoMix and the probability decision are all tuned by this.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from disrouter_training.evaluation.evidence import Bools, Floats, Ints

CANDIDATES = 33
"""Quantiles of its confidence between which an agent's thresholds are tried. More would follow single questions."""
SWEEPS = 8
"""Sweeps at most; three are usual."""
STARTS = (0.5, 0.8, 0.2)


def stops(confidence: Floats, thresholds: Floats) -> Ints:
    """The agent that answers each question: the first whose confidence reaches its threshold, else the last."""
    answers = np.column_stack([confidence >= thresholds, np.ones(len(confidence), bool)])
    return np.asarray(answers.argmax(axis=1), np.int64)


def tune(confidence: Floats, right: Bools, paid: Floats, alpha: float) -> Floats:
    """Thresholds with the best mean utility. `paid[k]` is what a question costs that agent k answers.

    `confidence` is [questions, agents - 1], `right` [questions, agents].
    """
    worth = right - alpha * paid
    return max((_ascend(confidence, worth, start) for start in STARTS), key=lambda found: found[1])[0]


def value(confidence: Floats, right: Bools, paid: Floats, alpha: float, thresholds: Floats) -> float:
    """Mean utility with these thresholds."""
    chosen = stops(confidence, thresholds)
    rows = np.arange(len(chosen))
    return float(np.mean(right[rows, chosen] - alpha * paid[chosen]))


def members(agents: int) -> Iterator[tuple[int, ...]]:
    """Every part of a pool that can be a cascade, its order kept: one agent or more."""
    for size in range(1, agents + 1):
        yield from combinations(range(agents), size)


def _ascend(confidence: Floats, worth: Floats, start: float) -> tuple[Floats, float]:
    """Sweep from the last deciding agent to the first until nothing is gained."""
    thresholds = np.full(confidence.shape[1], start)
    best = -np.inf
    for _ in range(SWEEPS):
        for agent in reversed(range(confidence.shape[1])):
            thresholds[agent] = _best(confidence, worth, thresholds, agent)
        chosen = stops(confidence, thresholds)
        reached = float(worth[np.arange(len(chosen)), chosen].mean())
        if reached <= best + 1e-9:
            break
        best = reached
    return thresholds, best


def _best(confidence: Floats, worth: Floats, thresholds: Floats, agent: int) -> float:
    """The best threshold of one agent for the questions that reach it; the cautious one of equals."""
    reach = ~np.any(confidence[:, :agent] >= thresholds[:agent], axis=1)
    if not reach.any():
        return float(thresholds[agent])
    later = stops(confidence[reach, agent + 1 :], thresholds[agent + 1 :]) + agent + 1
    gain = worth[reach, agent] - worth[np.flatnonzero(reach), later]
    own = confidence[reach, agent]
    candidates = _candidates(own)
    gains = [float(gain[own >= each].sum()) for each in candidates]
    return float(candidates[int(np.argmax(gains))])


def _candidates(confidence: Floats) -> Sequence[float]:
    """From `never answers` down to `always answers`, half way between one quantile and the next."""
    values = np.unique(np.quantile(confidence, np.linspace(0, 1, CANDIDATES), method="nearest"))[::-1]
    return [float("inf"), *map(float, (values[:-1] + values[1:]) / 2), float("-inf")]
