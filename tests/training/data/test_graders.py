"""The graders."""

import pytest

from disrouter.refusal import REFUSAL
from disrouter_training.data.graders import is_correct
from disrouter_training.data.graders.text import Choice


@pytest.mark.parametrize(
    ("answer", "reply", "right"),
    [
        ("Paris", "I think so. The final answer is: paris.", True),
        ("Paris", "The final answer is:  Paris !", True),
        ("New York", "The final answer is: New   york.", True),
        ("Paris", "The final answer is: Lyon.", False),
        ("Paris", "Paris is nice. The final answer is: Lyon.", False),
        ("-3", "The final answer is: 3.", False),
        ("3.5", "The final answer is: 3.5.", True),
        ("Paris", "", False),
        ("Paris", REFUSAL, False),
    ],
)
def test_exact_compares_the_normalised_final_answer(answer: str, reply: str, right: bool) -> None:
    assert is_correct("exact", answer, reply) is right


@pytest.mark.parametrize(
    ("answer", "reply", "right"),
    [
        ("72", "The final answer is: $72.00 in all.", True),
        ("1,234", "#### 1234", True),
        ("-4", "The final answer is: -4 degrees.", True),
        ("72", "The final answer is: 720.", False),
        ("72", "The final answer is: many.", False),
        ("72", "The final answer is: " + "7" * 5000, False),
    ],
)
def test_number_compares_values(answer: str, reply: str, right: bool) -> None:
    assert is_correct("number", answer, reply) is right


CHOICES = [
    *[("B", final) for final in ("B", "b", "(b)", "[B]", "B.", "B. Paris", "B) because it is", "B: text", "**B**")],
    *[("B", final) for final in ("**B** Paris", "`B`", "B Paris", "option B", "Option (b)", "answer B", "choice: B.")],
    *[("B", final) for final in ("B because it is", "B since it is", "B as it is", "B is right", "B - Paris", "B; so")],
    *[("D", final) for final in ("D, because it is", "D, a rock", "the correct option is D")],
    *[("A", final) for final in ("A", "a", "(a) rock", "A. A rock", "A: rock", "A because it is", "A is right")],
    ("I", "I"),
]
NO_CHOICES = [
    *[("A", final) for final in ("A rock", "a rock", "A **rock**", "option a rock", "a.m.", "a.m", "An apple", "")],
    *[("I", final) for final in ("I think it is B", "I'm sure", "I do not know")],
    *[("B", final) for final in ("Berlin", "B.C.", "B-52", "C", "C, not B", "be", "the B", "42", "option Berlin")],
    *[("B", final) for final in ("B or C", "B, C", "B and C are right", "B/C", "B, C and D", "(B), (C)", "B & C")],
]


@pytest.mark.parametrize(("answer", "final"), CHOICES)
def test_a_choice_is_the_letter_that_an_answer_begins_with(answer: str, final: str) -> None:
    assert Choice().correct(answer, final)


@pytest.mark.parametrize(("answer", "final"), NO_CHOICES)
def test_an_article_a_pronoun_another_word_and_several_letters_are_no_choice(answer: str, final: str) -> None:
    assert not Choice().correct(answer, final)


def test_a_choice_is_graded_by_what_follows_the_marker_of_a_reply() -> None:
    assert is_correct("choice", "D", "It is hard. The final answer is: D, because it is heavy.")
    assert not is_correct("choice", "A", "The final answer is: A rock.")
