"""The table from the chance of a refusal to competence."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disrouter.calibration import MAX_POINTS, answers
from disrouter.scenario import Scenario
from disrouter_training.evaluation.calibration import calibrate


def test_competence_is_found_where_the_chance_tells_it() -> None:
    rng = random.Random(0)
    chances = [rng.random() for _ in range(4000)]
    right = [rng.random() < 1 - chance for chance in chances]
    table = calibrate(chances, right, "I", Scenario.BALANCE)
    for chance in (0.1, 0.3, 0.5, 0.7, 0.9):
        assert table.competence(chance) == pytest.approx(1 - chance, abs=0.08)


def test_a_chance_that_tells_nothing_gives_everybody_the_mean() -> None:
    table = calibrate([0.5] * 10, [True, False] * 5, "I", Scenario.BALANCE)
    assert [table.competence(chance) for chance in (0.0, 0.5, 1.0)] == [0.5] * 3


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=200))
def test_any_measurement_gives_a_table_that_the_contract_takes(rows: list[tuple[float, bool]]) -> None:
    table = calibrate([chance for chance, _ in rows], [right for _, right in rows], "I", Scenario.BALANCE)
    assert 1 <= len(table.points) <= MAX_POINTS
    falling = [table.competence(step / 50) for step in range(51)]
    assert falling == sorted(falling, reverse=True)


def test_a_dearer_answer_needs_less_competence() -> None:
    """(1 - alpha) ** gamma falls with alpha: a user who weighs cost lets the small agent try."""
    assert [answers(0.7, alpha, 0.5) for alpha in (0.2, 0.5, 0.8)] == [False, False, True]


def test_no_questions_are_an_error() -> None:
    with pytest.raises(ValueError, match="0 chances for 0 answers"):
        calibrate([], [], "I", Scenario.BALANCE)
