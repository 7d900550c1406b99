"""The table that turns the chance of a refusal into competence."""

import pytest
from pydantic import ValidationError

from disrouter.calibration import MAX_POINTS, Calibration, CalibrationPoint


def table(*points: tuple[float, float]) -> Calibration:
    return Calibration(token="I", points=tuple(CalibrationPoint(refusal=r, competence=c) for r, c in points))


def test_competence_is_linear_between_points_and_constant_outside() -> None:
    wide = table((0.2, 0.9), (0.6, 0.5), (0.8, 0.1))
    assert [wide.competence(chance) for chance in (0.0, 0.2, 0.8, 1.0)] == pytest.approx([0.9, 0.9, 0.1, 0.1])
    assert wide.competence(0.4) == pytest.approx(0.7)
    assert wide.competence(0.7) == pytest.approx(0.3)


def test_one_point_says_the_same_everywhere() -> None:
    assert {table((0.5, 0.4)).competence(chance) for chance in (0.0, 0.5, 1.0)} == {0.4}


@pytest.mark.parametrize(
    "points",
    [((0.5, 0.5), (0.5, 0.4)), ((0.6, 0.5), (0.5, 0.4)), ((0.1, 0.4), (0.5, 0.5)), ()],
    ids=["equal chances", "falling chances", "rising competence", "no point"],
)
def test_a_table_that_says_two_things_is_refused(points: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ValidationError):
        table(*points)


def test_a_table_stays_small_enough_for_a_termination_message() -> None:
    many = [(index / 100, 1 - index / 100) for index in range(MAX_POINTS + 1)]
    with pytest.raises(ValidationError):
        table(*many)
