"""The gate alone: what of an evaluation it takes, what it lets through, and what it remembers of a promotion."""

from __future__ import annotations

import pytest

from disrouter.api import Gate, Promotion
from disrouter.artifacts import DatasetSource, Discrimination, Evaluation, RunConfig, ScenarioResult
from disrouter.calibration import Calibration, CalibrationPoint
from disrouter.routes import DecisionMode
from disrouter.scenario import Scenario
from disrouter.terms import PreferenceEncoding
from disrouter_operator.plan.training.gate import Unusable, Verdict, judge, promoted, promotion, read, served_name

CONFIG = RunConfig(cascade="c", agent="a", model="hf://org/name", datasets=(DatasetSource(file="pvc://d/q.jsonl"),))
TEXT, PROBABILITY = DecisionMode.TEXT, DecisionMode.PROBABILITY
STRONG = Discrimination(area=0.75, low=0.625, high=0.875)
WEAK = Discrimination(area=0.625, low=0.5, high=0.75)
CALIBRATION = Calibration(token="I", points=(CalibrationPoint(refusal=0.5, competence=0.5),))


def evaluation(run: str = CONFIG.run, gains: tuple[float, ...] = (0.25, 0.0, 0.5)) -> Evaluation:
    """Gains of a quarter on average."""
    scenarios = tuple(
        ScenarioResult(
            scenario=scenario,
            coverage=0.5,
            selective_accuracy=0.5,
            utility=0.125 + gain,
            serving_utility=0.125,
            self_assessment_accuracy=0.5,
            self_assessment_f1=0.5,
        )
        for scenario, gain in zip(Scenario, gains, strict=True)
    )
    return Evaluation(
        run=run,
        questions=40,
        base_accuracy=0.5,
        must_answer_accuracy=0.5,
        scenarios=scenarios,
        discrimination=STRONG,
        calibration=CALIBRATION,
        preference_encoding=PreferenceEncoding.CONTINUOUS,
        prompt_opens_reasoning=True,
    )


def test_what_is_served_has_a_name() -> None:
    assert (served_name("abc"), served_name(None)) == ("abc", "base")


def test_the_evaluation_of_the_run_is_taken() -> None:
    assert read(evaluation().model_dump_json(by_alias=True), CONFIG) == evaluation()


@pytest.mark.parametrize(
    ("text", "reason", "message"),
    [
        (None, "ResultLost", f"the result of run {CONFIG.run} is lost with its pod"),
        ("{", "ResultUnreadable", f"the result of run {CONFIG.run} is not an evaluation: Invalid JSON"),
        (
            evaluation("other").model_dump_json(by_alias=True),
            "ResultOfOtherRun",
            f"the result of run {CONFIG.run} speaks of run other",
        ),
    ],
)
def test_any_other_result_is_unusable_and_says_why(text: str | None, reason: str, message: str) -> None:
    found = read(text, CONFIG)
    assert isinstance(found, Unusable)
    assert found.reason == reason
    assert found.message.startswith(message)


NUMBERS = f"run {CONFIG.run} gains +0.2500 of utility over %s, which is served, on 40 questions"


@pytest.mark.parametrize(("against", "named"), [("base", "the base model"), ("abc", "run abc")])
def test_a_gain_that_reaches_the_gates_passes(against: str, named: str) -> None:
    assert judge(evaluation(), Gate(min_utility_gain=0.25), against, TEXT) == Verdict(True, NUMBERS % named)


def test_a_smaller_gain_does_not_pass_and_says_what_to_do() -> None:
    assert judge(evaluation(), Gate(min_utility_gain=0.2501), "base", TEXT) == Verdict(
        False,
        f"{NUMBERS % 'the base model'}; it keeps serving as before: the gain is below the gate's +0.2501: "
        "train on more or other data, or lower spec.training.gate.minUtilityGain",
    )


MISSED: list[tuple[dict[str, object], dict[str, float], str, str]] = [
    ({}, {"min_coverage": 0.51}, "it answers 50.0% of the questions, less than the gate's 51.0%", "minCoverage"),
    ({}, {"max_coverage": 0.49}, "it answers 50.0% of the questions, more than the gate's 49.0%", "maxCoverage"),
    (
        {"must_answer_accuracy": 0.44},
        {},
        "is right on 44.0% where its base model is on 50.0%, a loss above the gate's 5.0%: raise sft.replay",
        "maxForgetting",
    ),
    (
        {"discrimination": WEAK},
        {},
        "its text hardly tells what it gets right from what it gets wrong: an area under the curve of 0.625 "
        "(95 %: 0.500 to 0.750)",
        "minDiscrimination",
    ),
    ({"discrimination": None}, {}, "train with an image of this release", "minDiscrimination to 0"),
    ({"must_answer_accuracy": 0.0}, {"max_forgetting": 1.0}, "it gets no question right", "right grader"),
]


@pytest.mark.parametrize(("result", "bounds", "reason", "remedy"), MISSED)
def test_each_bound_that_is_missed_is_named_with_a_remedy(
    result: dict[str, object], bounds: dict[str, float], reason: str, remedy: str
) -> None:
    verdict = judge(evaluation().model_copy(update=result), Gate(**bounds), "base", TEXT)
    assert not verdict.passed
    assert reason in verdict.message
    assert remedy in verdict.message


@pytest.mark.parametrize(
    ("result", "bounds"),
    [
        ({"must_answer_accuracy": 0.45}, {}),
        ({"discrimination": None, "must_answer_accuracy": 1.0}, {}),
        ({"discrimination": None}, {"min_discrimination": 0.0}),
        ({"discrimination": WEAK, "first_token_discrimination": WEAK}, {"min_discrimination": 0.49}),
        ({}, {"min_coverage": 0.5, "max_coverage": 0.5}),
    ],
)
def test_what_just_keeps_a_bound_passes(result: dict[str, object], bounds: dict[str, float]) -> None:
    assert judge(evaluation().model_copy(update=result), Gate(**bounds), "base", TEXT).passed


@pytest.mark.parametrize(
    ("mode", "calibration", "weak", "told"),
    [
        (TEXT, CALIBRATION, "first_token_discrimination", "first token"),
        (PROBABILITY, CALIBRATION, "discrimination", "text"),
        (PROBABILITY, None, "first_token_discrimination", "first token"),  # so that the text decides
    ],
)
def test_the_decision_that_is_not_in_use_is_told_and_keeps_nobody_out(
    mode: DecisionMode, calibration: Calibration | None, weak: str, told: str
) -> None:
    both = {"discrimination": STRONG, "first_token_discrimination": STRONG, "calibration": calibration}
    verdict = judge(evaluation().model_copy(update={**both, weak: WEAK}), Gate(), "base", mode)
    told = f"(its {told}, which does not decide, has an area under the curve of 0.625 (95 %: 0.500 to 0.750))"
    assert verdict == Verdict(True, f"{NUMBERS % 'the base model'} {told}")


@pytest.mark.parametrize(
    ("mode", "in_use", "result", "reason"),
    [
        (TEXT, "discrimination", WEAK, "its text hardly tells"),
        (TEXT, "discrimination", None, "does not say how well its text tells"),
        (PROBABILITY, "first_token_discrimination", WEAK, "its first token hardly tells"),
        (PROBABILITY, "first_token_discrimination", None, "does not say how well its first token tells"),
    ],
)
def test_the_decision_in_use_must_tell_right_from_wrong(
    mode: DecisionMode, in_use: str, result: Discrimination | None, reason: str
) -> None:
    both = {"discrimination": STRONG, "first_token_discrimination": STRONG}
    verdict = judge(evaluation().model_copy(update={**both, in_use: result}), Gate(), "base", mode)
    assert not verdict.passed
    assert reason in verdict.message
    assert "minDiscrimination" in verdict.message


def test_all_bounds_that_are_missed_are_named_at_once() -> None:
    poor = evaluation(gains=(-0.1, 0.0, 0.0)).model_copy(update={"must_answer_accuracy": 0.1, "discrimination": WEAK})
    message = judge(poor, Gate(max_coverage=0.4), "base", TEXT).message
    assert all(name in message for name in ("minUtilityGain", "maxCoverage", "maxForgetting", "minDiscrimination"))


NEWEST = Promotion(
    run="new",
    promoted_at="now",
    utility_gain=0.25,
    calibration=CALIBRATION,
    preference_encoding=PreferenceEncoding.CONTINUOUS,
    prompt_opens_reasoning=True,
)
OLD, OLDER = Promotion(run="old", promoted_at="before"), Promotion(run="older", promoted_at="long before")


def test_a_promotion_remembers_what_was_measured_and_goes_first() -> None:
    assert promoted((OLD, OLDER), "new", evaluation("new"), "now", 3) == (NEWEST, OLD, OLDER)
    assert promoted((OLD, OLDER), "new", evaluation("new"), "now", 2) == (NEWEST, OLD), "the limit"


@pytest.mark.parametrize("known", [None, evaluation("other")])
def test_without_an_evaluation_of_its_own_nothing_is_remembered(known: Evaluation | None) -> None:
    assert promoted((), "new", known, "now", 3) == (Promotion(run="new", promoted_at="now"),)


def test_the_run_that_is_served_already_changes_nothing() -> None:
    assert promoted((OLD, OLDER), "old", evaluation("old"), "now", 2) == (OLD, OLDER)
    assert promoted((OLD, OLDER), "old", evaluation("old"), "now", 1) == (OLD,)


def test_an_earlier_run_that_is_served_again_is_in_the_history_once() -> None:
    again = promoted((OLD, OLDER), "older", None, "now", 3)
    assert again == (Promotion(run="older", promoted_at="now"), OLD)


def test_a_promotion_is_found_by_its_run() -> None:
    assert promotion((OLD, OLDER), "older") == OLDER
    assert promotion((OLD, OLDER), None) is None
