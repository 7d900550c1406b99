"""From replies to an evaluation."""

import pytest

from disrouter.refusal import REFUSAL
from disrouter.scenario import Scenario, reject_threshold
from disrouter_training.data.sources import Question
from disrouter_training.evaluation.judgement import Answers, evaluation, predictions, self_assessment

RIGHT, WRONG = "The final answer is: yes.", "The final answer is: no."
QUESTIONS = [
    Question(id=name, question=f"{name}?", answer="yes", kind=kind)
    for name, kind in (("a", "knowledge"), ("b", "knowledge"), ("c", "surface"), ("d", "surface"))
]


def replies(*texts: str) -> dict[str, str]:
    return {question.id: text for question, text in zip(QUESTIONS, texts, strict=True)}


def answers() -> Answers:
    """It knows a and b, and refuses b and d; c it answers wrongly."""
    candidate = replies(RIGHT, REFUSAL, WRONG, REFUSAL)
    return Answers(
        base=replies(RIGHT, RIGHT, WRONG, WRONG),
        must_answer=replies(RIGHT, RIGHT, WRONG, WRONG),
        serving=dict.fromkeys(Scenario, replies(WRONG, WRONG, WRONG, RIGHT)),
        candidate=dict.fromkeys(Scenario, candidate),
    )


def test_an_evaluation_holds_the_papers_measures() -> None:
    result = evaluation("r", QUESTIONS, answers(), gamma=0.5)
    assert (result.base_accuracy, result.must_answer_accuracy, result.questions) == (0.5, 0.5, 4)
    for item in result.scenarios:
        assert (item.coverage, item.selective_accuracy) == (0.5, 0.5)
        assert item.utility == pytest.approx((1 + 2 * reject_threshold(item.scenario.alpha)) / 4)
        assert item.serving_utility == 0.25
        assert (item.self_assessment_accuracy, item.self_assessment_f1) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("answered", "right", "expected"),
    [
        ([True, False], [True, False], (1.0, 1.0)),
        ([False, False], [True, False], (0.5, 0.0)),
        ([False, False], [False, False], (1.0, 1.0)),
    ],
)
def test_self_assessment_is_accuracy_and_f1(
    answered: list[bool], right: list[bool], expected: tuple[float, float]
) -> None:
    assert self_assessment(answered, right) == expected


def test_predictions_are_a_row_for_each_question_and_scenario() -> None:
    rows = predictions("dev", QUESTIONS, answers(), {"a": 0.1, "b": 0.6, "c": 0.2, "d": 0.9})
    assert len(rows) == len(QUESTIONS) * len(Scenario)
    assert rows[1] == {
        "split": "dev",
        "id": "b",
        "family": None,
        "kind": "knowledge",
        "scenario": "performance-first",
        "refused": True,
        "correct": False,
        "must_answer_correct": True,
        "base_correct": True,
        "refusal_chance": 0.6,
    }
