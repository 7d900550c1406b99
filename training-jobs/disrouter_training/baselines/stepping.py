"""Cascades that ask, look at a confidence, and stop or go on: which agents to ask, and the thresholds, from dev."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from disrouter_training.evaluation.evidence import Bools, Floats
from disrouter_training.evaluation.policies import Routed
from disrouter_training.evaluation.thresholds import members, stops, tune, value

Price = Callable[[Floats], Floats]
"""What a question costs in all that the k-th of some agents answers, from the costs of one answer of each."""


@dataclass(frozen=True)
class Option:
    """A source of confidence, the agents that are asked, and the threshold of each but the last."""

    source: str
    members: tuple[int, ...]
    thresholds: Floats


def best_option(confidences: Mapping[str, Floats], right: Bools, costs: Floats, alpha: float, price: Price) -> Option:
    """The best of all sources and all parts of the pool where the right answers are known.

    `confidences` are [questions, agents - 1]: the last agent of the pool has none.
    """
    best: tuple[float, Option] | None = None
    for source, confidence in confidences.items():
        for part in members(len(costs)):
            columns = list(part)
            own, paid = confidence[:, columns[:-1]], price(costs[columns])
            thresholds = tune(own, right[:, columns], paid, alpha)
            found = value(own, right[:, columns], paid, alpha, thresholds)
            if best is None or found > best[0]:
                best = (found, Option(source, part, thresholds))
    assert best is not None
    return best[1]


def follow(option: Option, confidences: Mapping[str, Floats], right: Bools, costs: Floats, price: Price) -> Routed:
    """Route other questions by it."""
    columns = list(option.members)
    place = stops(confidences[option.source][:, columns[:-1]], option.thresholds)
    chosen = np.asarray(columns)[place]
    rows = np.arange(len(chosen))
    return Routed(right[rows, chosen].astype(float), price(costs[columns])[place], chosen)
