"""The table that turns the chance of a refusal into competence."""

import pytest

from disrouter.api import Promotion
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
    with pytest.raises(ValueError, match="calibration"):
        table(*points)


def test_a_table_stays_small_enough_for_a_termination_message() -> None:
    many = [(index / 100, 1 - index / 100) for index in range(MAX_POINTS + 1)]
    with pytest.raises(ValueError, match="calibration"):
        table(*many)


POINT = {"refusal": 0.1, "competence": 0.9}


def test_a_runs_result_holds_one_as_the_route_table_does() -> None:
    calibration = table((0.1, 0.9), (0.8, 0.2))
    promotion = Promotion(run="r", promoted_at="now", calibration=calibration)
    told = promotion.dump()["calibration"]
    assert told == {
        "token": "I",
        "scenario": "balance",
        "points": [POINT, {"refusal": 0.8, "competence": 0.2}],
    }
    assert Promotion.model_validate(promotion.dump()) == promotion
    assert Promotion.model_validate_json(promotion.model_dump_json(by_alias=True)) == promotion


@pytest.mark.parametrize(
    "wrong",
    [
        {"token": ""},
        {"token": "x" * 65},
        {"points": [POINT | {"refusal": 1.1}]},
        {"points": [POINT | {"competence": -0.1}]},
        {"points": [POINT, POINT]},
        {"points": [POINT | {"weight": 1}]},
        {"weight": 1},
        {"scenario": "fast"},
    ],
    ids=str,
)
def test_a_status_refuses_what_the_route_table_refuses(wrong: dict[str, object]) -> None:
    right: dict[str, object] = {"token": "I", "points": [POINT]}
    Promotion.model_validate({"run": "r", "promotedAt": "now", "calibration": right})
    with pytest.raises(ValueError, match="calibration"):
        Promotion.model_validate({"run": "r", "promotedAt": "now", "calibration": right | wrong})
