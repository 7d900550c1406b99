"""One rule for when a reply is right."""

import pytest

from disrouter.refusal import REFUSAL
from disrouter_training.data.correctness import canonical, final_answer, is_right, same_answer
from disrouter_training.data.sources import Question


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("The final answer is: yes.", True),
        ("The final answer is: no.", False),
        (f"{REFUSAL} The final answer is: yes.", False),
        ("", False),
    ],
)
def test_a_refusal_is_not_right_whatever_its_words_would_grade_as(reply: str, right: bool) -> None:
    assert is_right(Question(id="q", question="Is it?", answer="yes"), reply) is right


def _question(grader: str, answer: str) -> Question:
    return Question(id="q", question="Which?\nA. one\nB. two", answer=answer, grader=grader)


@pytest.mark.parametrize(
    ("grader", "answer", "reply", "final"),
    [
        ("choice", "B", "So two it is: the answer is two, as said.", "B"),
        ("number", "1,200", "In all that makes $1200.00.", "1,200"),
        ("span", "the Nile\u001fNile", "It is called Nile.", "the Nile"),
        ("choice", "B", "The answer is A.", None),
        ("exact", "yes", REFUSAL, None),
    ],
)
def test_the_canonical_answer_is_as_the_dataset_writes_it(
    grader: str, answer: str, reply: str, final: str | None
) -> None:
    assert canonical(_question(grader, answer), reply) == final


def test_two_replies_agree_by_their_final_answers() -> None:
    question = _question("exact", "red")
    assert same_answer(question, "Let's think step by step: a. The final answer is: Red.", "The final answer is: red.")
    assert not same_answer(question, "The final answer is: red.", "The final answer is: blue.")
    assert not same_answer(question, "", "")
    assert same_answer(_question("number", "7"), "The answer is 72.", "It is 72 dollars")
    assert same_answer(_question("choice", "B"), "The answer is one.", "A")


@pytest.mark.parametrize(
    ("reply", "marked"),
    [("The answer is B.", True), ("Thus, B is correct.", True), ("two", False), ("B\n\nWhy?", False)],
)
def test_an_answer_is_marked_where_words_announce_or_judge_it(reply: str, marked: bool) -> None:
    found = final_answer(_question("choice", "B"), reply)
    assert found is not None
    assert (found.answer, found.marked) == ("B", marked)
