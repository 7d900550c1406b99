"""What turns the first token of a reply into competence."""

import math

import msgspec
import pytest

from disrouter.api import Promotion
from disrouter.calibration import (
    MAX_LOG_ODDS,
    MAX_POINTS,
    Calibration,
    CalibrationPoint,
    FirstTokenSignal,
    PlattScaling,
)
from disrouter.routes import ProbabilityRoute


def table(*points: tuple[float, float]) -> Calibration:
    return Calibration(token="I", points=tuple(CalibrationPoint(refusal=r, competence=c) for r, c in points))


def at(chance: float) -> FirstTokenSignal:
    """As calibrations of earlier releases see a reply."""
    return FirstTokenSignal(chance, 0.0)


SCALED = Calibration(token="I", answer="Let", platt=PlattScaling(intercept=1.0, slope=-0.5), residual=0.2)


def test_competence_is_a_logistic_function_of_the_odds_between_refusal_and_answer() -> None:
    for signal, log_odds in ((FirstTokenSignal(0.6, 0.3), math.log(2)), (FirstTokenSignal(0.2, 0.1), math.log(2))):
        assert signal.log_odds == pytest.approx(log_odds)
        assert SCALED.competence(signal) == pytest.approx(1 / (1 + math.exp(-(1.0 - 0.5 * log_odds))))


def test_what_an_engine_cannot_tell_is_beyond_the_bounds_for_all() -> None:
    ends = [FirstTokenSignal(1.0, 0.0), FirstTokenSignal(1.0, 1e-9), FirstTokenSignal(0.0, 1.0), FirstTokenSignal(0, 0)]
    assert [signal.log_odds for signal in ends] == [MAX_LOG_ODDS, MAX_LOG_ODDS, -MAX_LOG_ODDS, 0.0]


def test_a_reply_that_begins_otherwise_is_not_known() -> None:
    assert SCALED.knows(FirstTokenSignal(0.5, 0.4))
    assert not SCALED.knows(FirstTokenSignal(0.05, 0.04))
    assert not SCALED.knows(FirstTokenSignal(0.0, 0.0))


def test_a_calibration_of_an_earlier_release_is_read_and_means_what_it_meant() -> None:
    old = {"token": "I", "scenario": "balance", "points": [POINT, {"refusal": 0.8, "competence": 0.2}]}
    read = Promotion.model_validate({"run": "r", "promotedAt": "now", "calibration": old}).calibration
    assert read == table((0.1, 0.9), (0.8, 0.2))
    assert read.knows(at(0.0)), "it measured nothing but the refusal"
    assert read.competence(FirstTokenSignal(0.8, 0.1)) == read.competence(at(0.8)) == pytest.approx(0.2)


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"answer": "Let"},
        {"platt": SCALED.platt},
        {"answer": "Let", "platt": SCALED.platt, "points": (CalibrationPoint(refusal=0.1, competence=0.9),)},
        {"answer": "Let", "points": (CalibrationPoint(refusal=0.1, competence=0.9),)},
    ],
    ids=["neither", "no scaling", "no answer", "both", "points of two tokens"],
)
def test_a_calibration_is_of_one_kind(parts: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="either platt and answer, or points"):
        Calibration(token="I", **parts)  # type: ignore[arg-type]


def test_competence_is_linear_between_points_and_constant_outside() -> None:
    wide = table((0.2, 0.9), (0.6, 0.5), (0.8, 0.1))
    assert [wide.competence(at(chance)) for chance in (0.0, 0.2, 0.8, 1.0)] == pytest.approx([0.9, 0.9, 0.1, 0.1])
    assert wide.competence(at(0.4)) == pytest.approx(0.7)
    assert wide.competence(at(0.7)) == pytest.approx(0.3)


def test_one_point_says_the_same_everywhere() -> None:
    assert {table((0.5, 0.4)).competence(at(chance)) for chance in (0.0, 0.5, 1.0)} == {0.4}


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


@pytest.mark.parametrize(
    ("calibration", "written"),
    [
        (table((0.1, 0.9), (0.8, 0.2)), {"token": "I", "points": [POINT, {"refusal": 0.8, "competence": 0.2}]}),
        (SCALED, {"token": "I", "answer": "Let", "platt": {"intercept": 1.0, "slope": -0.5}, "residual": 0.2}),
    ],
    ids=["points", "scaling"],
)
def test_a_runs_result_holds_one_as_the_route_table_does(calibration: Calibration, written: dict[str, object]) -> None:
    promotion = Promotion(run="r", promoted_at="now", calibration=calibration)
    route = msgspec.json.encode(ProbabilityRoute(calibration=calibration))
    assert promotion.dump()["calibration"] == written == msgspec.json.decode(route)["calibration"]
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
        {"answer": "Let"},
        {"platt": {"intercept": 0.0, "slope": 0.1}},
        {"residual": 1.1},
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
