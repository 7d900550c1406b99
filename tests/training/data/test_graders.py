"""The graders."""

import pytest

from disrouter.refusal import REFUSAL
from disrouter_training.data.correctness import is_right
from disrouter_training.data.graders.choice import Choice, options_of
from disrouter_training.data.sources import Question

OPTIONS = "What makes sugar of light?\nA. a bird\nB. photosynthesis\nC. an animal\nD. a warm-blooded animal"


def right(grader: str, answer: str, reply: str, question: str = "What?") -> bool:
    return is_right(Question(id="q", question=question, answer=answer, grader=grader), reply)


@pytest.mark.parametrize(
    ("answer", "reply", "expected"),
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
def test_exact_compares_the_normalised_final_answer(answer: str, reply: str, expected: bool) -> None:
    assert right("exact", answer, reply) is expected


@pytest.mark.parametrize(
    ("answer", "reply", "expected"),
    [
        ("72", "The final answer is: $72.00 in all.", True),
        ("1,234", "#### 1234", True),
        ("-4", "The final answer is: -4 degrees.", True),
        ("72", "The final answer is: 720.", False),
        ("72", "The final answer is: many.", False),
        ("72", "The final answer is: " + "7" * 5000, False),
        ("72", "8 * 9 = 72, so there are 72 of them.\nLet me know if you need more!", True),
        ("5", "There are 5 apples left out of 8.", True),
        ("8", "There are 5 apples left out of 8.", False),
        ("12", "Twice six makes twelve", True),
        ("6", "So 2 * 3 = 6.\n```python\nprint(2 * 3) # 3 times 2\n", True),
        ("7", "```\n7\n```", True),
        ("1/2", r"It is \boxed{\frac{1}{2}}", True),
    ],
)
def test_number_compares_values(answer: str, reply: str, expected: bool) -> None:
    assert right("number", answer, reply) is expected


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
    *[("B", final) for final in ("Berlin", "B.C.", "B-52", "C", "C, not B", "be", "42", "option Berlin")],
    *[("B", final) for final in ("B or C", "B, C", "B and C are right", "B/C", "B, C and D", "(B), (C)", "B & C")],
]


@pytest.mark.parametrize(("answer", "final"), CHOICES)
def test_a_choice_is_the_letter_that_an_answer_begins_with(answer: str, final: str) -> None:
    assert Choice().correct(answer, final)


@pytest.mark.parametrize(("answer", "final"), NO_CHOICES)
def test_an_article_a_pronoun_another_word_and_several_letters_are_no_choice(answer: str, final: str) -> None:
    assert not Choice().correct(answer, final)


def test_a_choice_is_graded_by_what_follows_the_marker_of_a_reply() -> None:
    assert right("choice", "D", "It is hard. The final answer is: D, because it is heavy.")
    assert not right("choice", "A", "The final answer is: A rock.")


NAMING_B = [
    *["So the correct option is B.", "Therefore, the best choice is (B).", "Thus, B is correct.", "I would choose B"],
    *["Hence, the answer must be B", "The answer to the question is B.", r"It is \boxed{\text{B}}", "**B**"],
    *[
        "B\n\nExplanation: a bird does not.",
        "The answer is photosynthesis (B).",
        "B. photosynthesis\n\nA is wrong: it is.",
    ],
    *[
        "Plants use light. So the correct answer is B. A bird does not.",
        "Photosynthesis is the most reasonable answer.",
    ],
    *[
        "Light is needed.\nphotosynthesis",
        "A bird? No.\nB. photosynthesis",
        "The answer is Photosynthesis, which uses light.",
    ],
]
NAMING_ANOTHER = [
    *[
        "The answer is A, not B",
        "Thus, B is not correct.",
        "The answer is C.\nB is wrong.",
        "It is A or B",
        "A bird",
        "",
    ],
    *["Option B is incorrect. The best answer is C.", "The answer is a bird (A). B is a process."],
    *[
        "A. a bird\nB. photosynthesis\nC. an animal",
        "The answer is A or B.",
        "So B.\nNo: the answer is C. photosynthesis",
    ],
]


@pytest.mark.parametrize("reply", NAMING_B)
def test_a_reply_names_its_option_by_letter_or_text_before_or_after_the_reason(reply: str) -> None:
    assert right("choice", "B", reply, OPTIONS)


@pytest.mark.parametrize("reply", NAMING_ANOTHER)
def test_an_option_that_is_denied_or_one_of_several_is_not_the_answer(reply: str) -> None:
    assert not right("choice", "B", reply, OPTIONS)


def test_a_letter_with_the_text_of_another_option_is_no_answer() -> None:
    assert not right("choice", "C", "The answer is: C. photosynthesis", OPTIONS)
    assert not right("choice", "B", "The answer is: C. photosynthesis", OPTIONS)
    assert right("choice", "C", "The answer is: C. It is no photosynthesis but an animal.", OPTIONS)


def test_of_two_options_one_of_which_is_in_the_other_the_longer_one_is_meant() -> None:
    assert right("choice", "D", "The answer is a warm-blooded animal.", OPTIONS)
    assert right("choice", "C", "The answer is an animal.", OPTIONS)


def test_options_are_the_last_lettered_lines_of_a_question() -> None:
    assert options_of("Passage: A. one\nB. two\nQuestion: which?\nA. x\n(B) y\nC) z") == {"A": "x", "B": "y", "C": "z"}
    assert options_of("Vitamin\nA. is what?") == {}


@pytest.mark.parametrize(
    ("answer", "reply", "expected"),
    [
        ("the hookah", "The answer is: a Hookah.", True),
        ("hookah", "It is known as the hookah, I believe.", True),
        ("hookah", "It is not a hookah.", False),
        ("hookah", "It is a pipe or a hookah.", False),
        ("hookah", "Hookahs.", False),
        ("1.5 million", "The answer is 1.50 million people.", True),
        ("15 million", "The answer is 1.5 million.", False),
        ("1,200", "1200", True),
        ("well-known", "well known", True),
        ("or", "or", True),
    ],
)
def test_a_span_is_compared_as_the_official_scripts_do_or_said_in_a_short_sentence(
    answer: str, reply: str, expected: bool
) -> None:
    assert right("span", answer, reply) is expected
