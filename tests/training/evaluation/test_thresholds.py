"""Thresholds of a cascade: found where the right answers are known, and worth what brute force finds."""

from itertools import product

import numpy as np
import pytest

from disrouter_training.evaluation.thresholds import members, stops, tune, value

COSTS = np.array([0.1, 0.3, 0.9])


def test_the_first_agent_that_is_confident_enough_answers_and_else_the_last() -> None:
    confidence = np.array([[0.9, 0.1], [0.2, 0.8], [0.2, 0.1]])
    assert stops(confidence, np.array([0.5, 0.5])).tolist() == [0, 1, 2]


def test_a_confidence_that_tells_everything_gives_the_oracles_utility() -> None:
    rng = np.random.default_rng(0)
    right = np.column_stack([rng.random(200) < p for p in (0.4, 0.7)] + [np.ones(200, bool)])
    confidence = np.where(right[:, :2], 0.8, 0.3) + 0.1 * rng.random((200, 2))
    thresholds = tune(confidence, right, COSTS, 0.5)
    oracle = np.mean(1 - 0.5 * COSTS[right.argmax(axis=1)])
    assert value(confidence, right, COSTS, 0.5, thresholds) == pytest.approx(oracle)


def test_a_confidence_that_tells_nothing_gives_about_the_best_single_agent() -> None:
    rng = np.random.default_rng(1)
    right = np.column_stack([rng.random(2000) < p for p in (0.2, 0.75, 0.8)])
    confidence = rng.random((2000, 2))
    found = value(confidence, right, COSTS, 0.5, tune(confidence, right, COSTS, 0.5))
    best = max(right.mean(axis=0) - 0.5 * COSTS)
    assert best - 1e-9 <= found < best + 0.02


def test_a_search_over_few_values_is_as_good_as_trying_them_all() -> None:
    rng = np.random.default_rng(2)
    for alpha in (0.2, 0.8):
        right = rng.random((60, 3)) < (0.4, 0.6, 0.9)
        confidence = np.round(0.6 * right[:, :2] + 0.4 * rng.random((60, 2)), 1)
        grid = [*np.unique(confidence), np.inf]
        best = max(value(confidence, right, COSTS, alpha, np.array(pair)) for pair in product(grid, grid))
        assert value(confidence, right, COSTS, alpha, tune(confidence, right, COSTS, alpha)) >= best - 0.01


def test_paying_for_every_agent_that_was_asked_makes_asking_rarer() -> None:
    rng = np.random.default_rng(3)
    right = rng.random((500, 3)) < (0.3, 0.6, 0.95)
    confidence = np.clip(right[:, :2] + rng.normal(0, 0.6, (500, 2)), 0, 1)
    answering = stops(confidence, tune(confidence, right, COSTS, 0.8))
    asked = stops(confidence, tune(confidence, right, np.cumsum(COSTS), 0.8))
    assert asked.mean() < answering.mean()


def test_parts_of_a_pool_keep_its_order() -> None:
    assert list(members(3)) == [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]
