"""What `collect` tells of replies, and when it stops."""

from typing import Any

import pytest

from disrouter_training.data.second_reading import second_reading
from disrouter_training.data.sources import Question
from disrouter_training.data.survey import Survey


def row(number: int, kind: str | None = "sums", **sample: Any) -> dict[str, Any]:
    question = {"id": f"q{number}", "question": f"{number}?", "answer": "4\u001f5", "kind": kind}
    return {
        "id": f"q{number}",
        "question": question,
        "samples": [{"reply": f"It is\n{number}.", "correct": False} | sample],
    }


def test_three_replies_of_a_dataset_are_shown_once_with_what_was_expected() -> None:
    survey = Survey()
    lines = survey.add(
        [row(0, correct=True), row(1), row(2, cut=True), row(3), row(4, kind="poems"), row(5, kind=None)]
    )
    assert lines == [
        "sums, a reply: [right, expected 4 or 5] It is 0.",
        "sums, a reply: [wrong, expected 4 or 5] It is 1.",
        "sums, a reply: [cut, expected 4 or 5] It is 2.",
        "poems, a reply: [wrong, expected 4 or 5] It is 4.",
        "questions, a reply: [wrong, expected 4 or 5] It is 5.",
    ]
    assert survey.add([row(6)]) == []


def test_a_long_reply_is_shown_by_its_end() -> None:
    (line,) = Survey().add([row(0, reply="x" * 1000 + " 4")])
    assert line.endswith("x 4")
    assert len(line) < 300


def test_each_dataset_has_its_shares() -> None:
    survey = Survey()
    survey.add(
        [row(0, correct=True, differs=True), row(1, unmarked=True, differs=False), row(2, cut=True, unmarked=True)]
    )
    survey.add([row(3, kind="poems")])
    assert survey.summary()["sums"] == {
        "questions": 3, "correct": 0.3333, "unmarked": 0.6667, "cut": 0.3333, "differing": 0.5,
    }  # fmt: skip
    assert survey.summary()["poems"]["differing"] is None
    assert survey.lines()[0] == (
        "sums: 3 questions, 33.3% of replies right; 66.7% do not announce their answer, 33.3% are cut, "
        "a second reading differs on 50.0%"
    )
    assert survey.accuracy == 0.25


@pytest.mark.parametrize(
    ("questions", "sample", "complete", "problem"),
    [
        (101, {}, False, "no reply to 101 questions is right: read the replies above"),
        (100, {}, True, None),
        (101, {"correct": True, "cut": True}, False, "100% of the replies to 101 questions are cut"),
        (101, {"correct": True}, True, None),
    ],
)
def test_it_stops_where_nothing_is_right_or_everything_is_cut(
    questions: int, sample: dict[str, Any], complete: bool, problem: str | None
) -> None:
    survey = Survey()
    survey.add([row(number, **sample) for number in range(questions)])
    found = survey.problem(complete=complete)
    assert (found is None) if problem is None else (found or "").startswith(problem)


def test_of_the_longest_questions_that_come_first_more_may_be_cut_than_of_all() -> None:
    survey = Survey()
    survey.add([row(number, correct=True, cut=number % 3 > 0) for number in range(150)])
    assert survey.problem(complete=False) is None
    assert "67% of the replies to 150 questions are cut at collect.maxNewTokens" in (
        survey.problem(complete=True) or ""
    )


@pytest.mark.parametrize(
    ("grader", "answer", "reply", "right"),
    [
        ("choice", "B", "So the answer is B.", True),
        ("choice", "A", "So the answer is B.", False),
        ("number", "12", "3 * 4 = 12 eggs", True),
        ("number", "12", "3 * 4 = 13 eggs", False),
        ("span", "the Nile", "It is a river.\nIt is the nile, I think, or the Congo.", True),
        ("span", "the Nile", "It is the Congo.", False),
        ("exact", "red", "red", None),
    ],
)
def test_the_second_reading_is_of_the_whole_reply(grader: str, answer: str, reply: str, right: bool | None) -> None:
    assert second_reading(Question(id="q", question="?", answer=answer, grader=grader), reply) is right
