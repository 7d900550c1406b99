"""From replies to an evaluation: the arithmetic of the promotion gate, against numbers worked out by hand.

What each model made of nine questions, where `r` is a right answer, `w` a wrong one and `-` a refusal:

    question                    a b c d e f g h i
    base model, must answer     w w w w r w w w w     right 1 of 9
    candidate, must answer      w r w r r r w r r     right 6 of 9
    candidate, plain            w r - r - r w - r     right 4 of 9, refuses 3
    candidate, performance      w r r - - w r - -     answers 5, right 3 of these
    candidate, balance          - - r - r - w - r     answers 4, right 3
    candidate, cost             - w w r r r w r r     answers 8, right 5
    served, performance         r w r - r r - w w     right 4, refuses 2
    served, balance             r w w r - r - - w     right 3, refuses 3
    served, cost                r - w w r w r w w     right 3, refuses 1

With gamma 1 a refusal earns 1 - alpha (equation 7): .8, .5 and .2. So the utilities are

    performance   (3 + 4 * .8) / 9 = 31/45      served (4 + 2 * .8) / 9 = 28/45
    balance       (3 + 5 * .5) / 9 = 11/18      served (3 + 3 * .5) / 9 = 1/2
    cost          (5 + 1 * .2) / 9 = 26/45      served (3 + 1 * .2) / 9 = 16/45

and their mean difference is (1/15 + 1/9 + 2/9) / 3 = 2/15. Self-assessment compares `it answers` with `it would be
right when it must answer`. Accuracy counts the questions on which the two agree; F1 is 2 * both / (answers + right):

    performance   agree on b f: 2/9                F1: both on b f, 2 * 2 / (5 + 6) = 4/11
    balance       agree on a e i: 1/3              F1: both on e i, 2 * 2 / (4 + 6) = 2/5
    cost          agree on all but c g: 7/9        F1: both on b d e f h i, 2 * 6 / (8 + 6) = 6/7

No two of these numbers are equal, so none can stand for another.
"""

import math
from fractions import Fraction
from typing import NamedTuple

import pytest

from disrouter.calibration import FirstTokenSignal
from disrouter.refusal import REFUSAL
from disrouter.scenario import Scenario, reject_threshold
from disrouter_training.data.sources import Question
from disrouter_training.evaluation.judgement import Answers, evaluation, predictions, self_assessment

NAMES = "abcdefghi"
REPLIES = {
    "r": "The final answer is: yes.",
    "w": "The final answer is: no.",
    "-": f"{REFUSAL} The final answer is: yes.",  # refuses, and would grade as right
}
KINDS = {"a": "knowledge", "b": "surface", "c": None}
QUESTIONS = [
    Question(id=name, question=f"{name}?", answer="yes", kind=KINDS.get(name), family=f"family {name}")
    for name in NAMES
]
SIGNALS = {name: FirstTokenSignal(number / 10, 0.1) for number, name in enumerate(NAMES)} | {
    "b": FirstTokenSignal(0.12345678, 0.6)
}


def replies(row: str) -> dict[str, str]:
    return {name: REPLIES[mark] for name, mark in zip(NAMES, row.split(), strict=True)}


def by_scenario(performance: str, balance: str, cost: str) -> dict[Scenario, dict[str, str]]:
    rows = (performance, balance, cost)
    return {scenario: replies(row) for scenario, row in zip(Scenario, rows, strict=True)}


ANSWERS = Answers(
    base=replies("w w w w r w w w w"),
    must_answer=replies("w r w r r r w r r"),
    plain=replies("w r - r - r w - r"),
    candidate=by_scenario("w r r - - w r - -", "- - r - r - w - r", "- w w r r r w r r"),
    serving=by_scenario("r w r - r r - w w", "r w w r - r - - w", "r - w w r w r w w"),
)


class Expected(NamedTuple):
    """Of one scenario."""

    coverage: Fraction
    selective_accuracy: Fraction
    utility: Fraction
    serving_utility: Fraction
    self_assessment_accuracy: Fraction
    self_assessment_f1: Fraction


BASE, MUST_ANSWER, GAIN = Fraction(1, 9), Fraction(2, 3), Fraction(2, 15)
EXPECTED = {
    scenario: Expected(*map(Fraction, row.split()))
    for scenario, row in {
        Scenario.PERFORMANCE_FIRST: "5/9 3/5 31/45 28/45 2/9 4/11",
        Scenario.BALANCE: "4/9 3/4 11/18 1/2 1/3 2/5",
        Scenario.COST_FIRST: "8/9 5/8 26/45 16/45 7/9 6/7",
    }.items()
}


def test_no_two_expected_numbers_are_equal() -> None:
    numbers = [BASE, MUST_ANSWER, GAIN, *(number for expected in EXPECTED.values() for number in expected)]
    assert len(set(numbers)) == len(numbers) == 21


def test_an_evaluation_holds_the_papers_measures() -> None:
    result = evaluation("the run", QUESTIONS, ANSWERS, gamma=1.0)
    assert (result.run, result.questions) == ("the run", 9)
    assert result.base_accuracy == pytest.approx(float(BASE))
    assert result.must_answer_accuracy == pytest.approx(float(MUST_ANSWER))
    assert (result.plain_accuracy, result.plain_refusals) == pytest.approx((4 / 9, 3 / 9))
    assert result.utility_gain == pytest.approx(float(GAIN))
    assert [item.scenario for item in result.scenarios] == list(Scenario)


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("field", Expected._fields)
def test_each_scenario_has_numbers_of_its_own(number: int, field: str) -> None:
    item = evaluation("r", QUESTIONS, ANSWERS, gamma=1.0).scenarios[number]
    assert getattr(item, field) == pytest.approx(float(getattr(EXPECTED[item.scenario], field)))


def test_gamma_is_the_exponent_of_a_refusals_reward() -> None:
    for item in evaluation("r", QUESTIONS, ANSWERS, gamma=0.5).scenarios:
        right, refused = {Scenario.PERFORMANCE_FIRST: (3, 4), Scenario.BALANCE: (3, 5), Scenario.COST_FIRST: (5, 1)}[
            item.scenario
        ]
        assert item.utility == pytest.approx((right + refused * reject_threshold(item.scenario.alpha, 0.5)) / 9)


def test_an_agent_that_answers_nothing_has_a_selective_accuracy_of_nothing() -> None:
    silent = by_scenario(*["- - - - - - - - -"] * 3)
    answers = Answers(ANSWERS.base, ANSWERS.must_answer, ANSWERS.plain, ANSWERS.serving, silent)
    item = evaluation("r", QUESTIONS, answers, gamma=1.0).scenarios[0]
    assert (item.coverage, item.selective_accuracy) == (0, 0)
    assert item.utility == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("answered", "right", "expected"),
    [
        ([True, False], [True, False], (1.0, 1.0)),
        ([False, False], [True, False], (0.5, 0.0)),
        ([False, False], [False, False], (1.0, 1.0)),
        ([True, True, False], [True, False, True], (1 / 3, 0.5)),
    ],
)
def test_self_assessment_is_accuracy_and_f1(
    answered: list[bool], right: list[bool], expected: tuple[float, float]
) -> None:
    assert self_assessment(answered, right) == pytest.approx(expected)


def test_self_assessment_of_two_lengths_is_an_error() -> None:
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        self_assessment([True, False], [True])


def test_predictions_are_the_table_above_row_by_row() -> None:
    """Each row by its marks: refused, correct, correct when it must answer, base model correct."""
    rows = predictions("dev", QUESTIONS, ANSWERS, SIGNALS)
    assert [(row.scenario, row.id) for row in rows] == [(scenario, name) for scenario in Scenario for name in NAMES]
    marks = {
        scenario: [f"{row.refused:d}{row.correct:d}{row.must_answer_correct:d}{row.base_correct:d}" for row in rows
                   if row.scenario is scenario]
        for scenario in Scenario
    }  # fmt: skip
    assert marks == {
        Scenario.PERFORMANCE_FIRST: ["0000", "0110", "0100", "1010", "1011", "0010", "0100", "1010", "1010"],
        Scenario.BALANCE: ["1000", "1010", "0100", "1010", "0111", "1010", "0000", "1010", "0110"],
        Scenario.COST_FIRST: ["1000", "0010", "0000", "0110", "0111", "0110", "0000", "0110", "0110"],
    }


def test_a_prediction_says_what_the_plain_question_brings() -> None:
    rows = {row.id: row for row in predictions("test", QUESTIONS, ANSWERS, SIGNALS)}
    found = [f"{row.plain_correct:d}{row.plain_refused:d}" for row in rows.values()]
    assert " ".join(found) == "00 10 01 10 01 10 00 01 10"
    assert not rows["c"].served_correct
    earlier = rows["d"].model_copy(update={"plain_correct": None, "must_answer_correct": False})
    assert not earlier.served_correct


def test_a_prediction_says_where_its_question_belongs_and_how_likely_a_refusal_was() -> None:
    row = predictions("heldout", QUESTIONS, ANSWERS, SIGNALS)[1]
    assert (row.split, row.kind, row.family, row.refusal_chance) == ("heldout", "surface", "family b", 0.123457)
    assert row.refusal_log_odds == row.log_odds == pytest.approx(math.log(0.12345678 / 0.6), abs=1e-4)
