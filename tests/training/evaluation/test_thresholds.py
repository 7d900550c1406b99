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


def test_a_confidence_at_its_threshold_answers() -> None:
    assert stops(np.array([[0.5, 0.1], [0.4, 0.7]]), np.array([0.5, 0.7])).tolist() == [0, 1]


def tuned(confidence: list[float], right: list[tuple[bool, bool]], alpha: float = 0.0) -> float:
    """The threshold of the first of two agents."""
    column = np.array(confidence).reshape(-1, 1)
    return float(tune(column, np.array(right), np.array([0.1, 0.9]), alpha)[0])


def test_a_threshold_lies_half_way_between_the_confidences_it_parts() -> None:
    assert tuned([0.1, 0.3, 0.9], [(False, True), (False, True), (True, False)]) == pytest.approx(0.6)
    assert tuned([0.1, 0.3, 0.9], [(False, True), (True, False), (True, False)]) == pytest.approx(0.2)


def test_an_agent_that_is_never_worth_asking_never_answers_and_one_that_always_is_always_does() -> None:
    assert tuned([0.1, 0.9], [(False, True), (False, True)]) == float("inf")
    assert tuned([0.1, 0.9], [(True, True), (True, True)], alpha=0.5) == float("-inf")
    assert tuned([0.1, 0.9], [(True, True), (True, True)]) == float("inf"), "of equals the cautious one"


def test_an_agent_is_weighed_against_those_behind_it_and_not_those_before() -> None:
    """The first is always wrong, so that the second answers what the last does not know, and no more."""
    confidence = np.array([[0.5, 0.2], [0.5, 0.4], [0.5, 0.8]])
    last_knows_all = np.array([[False, True, True], [False, False, True], [False, True, True]])
    assert tune(confidence, last_knows_all, COSTS, 0.0).tolist() == [float("inf")] * 2
    last_knows_nothing = np.array([[False, False, False], [False, False, False], [False, True, False]])
    assert tune(confidence, last_knows_nothing, COSTS, 0.0).tolist() == pytest.approx([float("inf"), 0.6])


def test_an_agent_that_no_question_reaches_keeps_a_threshold() -> None:
    confidence, right = np.full((4, 2), 0.5), np.array([[True, False, False]] * 4)
    first, second = tune(confidence, right, COSTS, 0.5).tolist()
    assert first == float("-inf")
    assert not np.isnan(second)


def test_the_worth_of_thresholds_is_accuracy_less_what_is_paid() -> None:
    confidence, right = np.array([[0.9, 0.1], [0.2, 0.1]]), np.array([[True, False, False], [False, False, True]])
    assert value(confidence, right, COSTS, 0.5, np.array([0.5, 0.5])) == pytest.approx((2 - 0.5 * (0.1 + 0.9)) / 2)


@pytest.mark.parametrize("seed", range(8))
def test_no_single_threshold_can_be_moved_for_the_better(seed: int) -> None:
    """Each of three was chosen against what those behind it really do, and sweeps went on until nothing was gained."""
    rng = np.random.default_rng(seed)
    right = rng.random((40, 4)) < (0.3, 0.5, 0.6, 0.8)
    confidence = np.round(0.5 * right[:, :3] + 0.5 * rng.random((40, 3)), 1)
    paid = np.array([0.1, 0.3, 0.5, 0.9])
    thresholds = tune(confidence, right, paid, 0.5)
    found = value(confidence, right, paid, 0.5, thresholds)
    for agent, other in product(range(3), [*np.arange(0.05, 1.1, 0.1), np.inf, -np.inf]):
        moved = thresholds.copy()
        moved[agent] = other
        assert value(confidence, right, paid, 0.5, moved) <= found + 1e-9
