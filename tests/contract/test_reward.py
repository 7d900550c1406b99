"""Equation 7 by hand-computed examples."""

import pytest

from disrouter.scenario import reward


@pytest.mark.parametrize(
    ("refused", "correct", "expected"), [(False, True, 1.0), (False, False, 0.0), (True, False, 0.5**0.5)]
)
def test_the_reward_is_equation_7(refused: bool, correct: bool, expected: float) -> None:
    assert reward(refused=refused, correct=correct, alpha=0.5) == pytest.approx(expected)


def test_gamma_is_the_exponent_of_a_refusals_reward_and_alpha_its_price() -> None:
    assert reward(refused=True, correct=False, alpha=0.2, gamma=2.0) == pytest.approx(0.64)
