"""Equations 1, 2 and 7 by hand-computed examples, and the controls' order by property."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disrouter.utility import (
    cascade_choice,
    oracle,
    oracle_choice,
    outcome,
    random_control,
    regret,
    reward,
    single,
)

CORRECT = [[1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0]]
COSTS = [0.1, 0.4, 0.9]


def test_the_oracle_takes_the_cheapest_that_is_right_and_the_cheapest_when_none_is() -> None:
    assert oracle_choice(CORRECT) == [0, 1, 2, 0]
    best = oracle(CORRECT, COSTS)
    assert best.performance == pytest.approx(0.75)
    assert best.cost == pytest.approx((0.1 + 0.4 + 0.9 + 0.1) / 4)
    assert best.utility(0.5) == pytest.approx(0.75 - 0.5 * 0.375)


def test_a_cascade_stops_at_the_first_that_does_not_refuse_and_the_last_always_answers() -> None:
    refuses = [[False, True, True], [True, False, True], [True, True, True]]
    assert cascade_choice(refuses) == [0, 1, 2]


def test_controls_are_exact() -> None:
    assert single(CORRECT, COSTS, 0) == outcome(CORRECT, COSTS, [0] * 4)
    assert single(CORRECT, COSTS, -1).cost == pytest.approx(0.9)
    drawn = random_control(CORRECT, COSTS)
    assert drawn.performance == pytest.approx(6 / 12)
    assert drawn.cost == pytest.approx(1.4 / 3)


@pytest.mark.parametrize(
    ("refused", "correct", "expected"), [(False, True, 1.0), (False, False, 0.0), (True, False, 0.5**0.5)]
)
def test_the_reward_is_equation_7(refused: bool, correct: bool, expected: float) -> None:
    assert reward(refused=refused, correct=correct, alpha=0.5) == pytest.approx(expected)


def test_shapes_that_do_not_fit_are_errors_that_name_them() -> None:
    with pytest.raises(ValueError, match="query 0 has 2 scores for 3 agents"):
        outcome([[1, 0]], COSTS, [0])
    with pytest.raises(ValueError, match="no queries"):
        random_control([], COSTS)
    with pytest.raises(ValueError, match="1 choices for 4 queries"):
        outcome(CORRECT, COSTS, [0])


rows = st.lists(st.lists(st.integers(0, 1), min_size=3, max_size=3), min_size=1, max_size=30)


@given(rows, st.floats(0, 1), st.data())
def test_no_policy_has_negative_regret_against_the_oracle(
    correct: list[list[int]], alpha: float, data: st.DataObject
) -> None:
    chosen = data.draw(st.lists(st.integers(0, 2), min_size=len(correct), max_size=len(correct)))
    cheap = [0.1, 0.1, 0.1]
    assert regret(outcome(correct, cheap, chosen), oracle(correct, cheap), alpha) >= -1e-9
