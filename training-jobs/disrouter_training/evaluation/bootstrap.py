"""Intervals: questions are drawn again with replacement, and so are seeds where there are several. Pure.

A policy's utilities are an array [seeds, questions]. Two policies are compared on the same draws, question by
question, so that what makes a question hard for both does not widen the interval of their difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from disrouter_training.evaluation.evidence import Floats

DRAWS = 2000
LEVEL = 0.95
MAX_NUMBERS = 20_000_000
"""Numbers held at once."""


@dataclass(frozen=True)
class Interval:
    """A mean and its percentile interval."""

    mean: float
    low: float
    high: float


class Resampler:
    """The same draws for everything that is asked of it."""

    def __init__(self, questions: int, seeds: int, *, draws: int = DRAWS, seed: int = 0) -> None:
        if questions < 1 or seeds < 1:
            raise ValueError(f"nothing to draw from: {questions} questions, {seeds} seeds")
        rng = np.random.default_rng(seed)
        draws = max(100, min(draws, MAX_NUMBERS // questions))
        self._questions = rng.multinomial(questions, np.full(questions, 1 / questions), draws) / questions
        self._seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), draws) / seeds

    def interval(self, values: Floats) -> Interval:
        """Of the mean of values [seeds, questions]."""
        means = np.sum((self._questions @ values.T) * self._seeds, axis=1)
        low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Interval(float(values.mean()), float(low), float(high))


@lru_cache(maxsize=16)
def resampler(questions: int, seeds: int) -> Resampler:
    """The same draws for all policies with as many seeds on the same questions."""
    return Resampler(questions, seeds)
