"""From what replies begin with to competence."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disrouter.calibration import FirstTokenSignal, answers
from disrouter.scenario import Scenario
from disrouter_training.evaluation.calibration import LEAST_RESIDUAL, calibrate, platt
from disrouter_training.generation.first_token import FirstTokens

TOKENS = FirstTokens("I", "Let")


def logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value))


@pytest.mark.parametrize(("questions", "tolerance"), [(300, 0.12), (4000, 0.03)])
def test_competence_is_found_where_the_odds_tell_it(questions: int, tolerance: float) -> None:
    rng = random.Random(0)
    odds = [rng.uniform(-8, 8) for _ in range(questions)]
    right = [rng.random() < logistic(1 - 0.5 * each) for each in odds]
    scaling = platt(odds, right)
    for each in (-6, -2, 0, 2, 6):
        assert scaling.competence(each) == pytest.approx(logistic(1 - 0.5 * each), abs=tolerance)


def test_a_calibration_holds_both_tokens_and_what_else_replies_began_with() -> None:
    signals = [FirstTokenSignal(0.2, 0.7), FirstTokenSignal(0.6, 0.1)] * 50
    found = calibrate(signals, [True, False] * 50, TOKENS, Scenario.BALANCE)
    assert (found.token, found.answer, found.scenario) == ("I", "Let", Scenario.BALANCE)
    assert found.residual == pytest.approx(0.3)
    sure = [FirstTokenSignal(0.01, 0.99)] * 100
    assert calibrate(sure, [True, False] * 50, TOKENS, Scenario.BALANCE).residual == LEAST_RESIDUAL


@pytest.mark.parametrize("odds", [[0.5] * 10, [1.0, -1.0] * 5], ids=["alike", "the wrong way round"])
def test_odds_that_tell_nothing_give_everybody_the_mean(odds: list[float]) -> None:
    scaling = platt(odds, [True, False] * 5)
    assert [scaling.competence(each) for each in (-9.0, 0.0, 9.0)] == pytest.approx([0.5] * 3, abs=1e-3)


def test_a_few_questions_that_are_parted_without_an_error_make_nobody_certain() -> None:
    scaling = platt([-9.0] * 3 + [9.0] * 3, [True] * 3 + [False] * 3)
    assert 0.7 < scaling.competence(-9.0) < 0.9
    assert 0.1 < scaling.competence(9.0) < 0.3


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.booleans()), min_size=1, max_size=100))
def test_any_measurement_gives_a_calibration_that_the_contract_takes(rows: list[tuple[float, float, bool]]) -> None:
    signals = [FirstTokenSignal(refusal, answer * (1 - refusal)) for refusal, answer, _ in rows]
    found = calibrate(signals, [right for *_, right in rows], TOKENS, Scenario.BALANCE)
    falling = [found.competence(FirstTokenSignal(step / 50, 1 - step / 50)) for step in range(51)]
    assert falling == sorted(falling, reverse=True)


def test_a_dearer_answer_needs_less_competence() -> None:
    """(1 - alpha) ** gamma falls with alpha: a user who weighs cost lets the small agent try."""
    assert [answers(0.7, alpha, 0.5) for alpha in (0.2, 0.5, 0.8)] == [False, False, True]


def test_no_questions_are_an_error() -> None:
    with pytest.raises(ValueError, match="0 signals for 0 answers"):
        platt([], [])
