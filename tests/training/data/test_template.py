"""Taking right replies apart and putting them into Table 8's template."""

import pytest

from disrouter_training.data.sources import Question
from disrouter_training.data.standard_form import as_template, take_apart
from disrouter_training.data.template import Parts

TEMPLATED = "Let's think step by step: 2 and 2 make 4. The final answer is: 4."
SUM = Question(id="q", question="2+2?", answer="4", grader="number")
PLANTS = Question(id="q", question="What?\nA. a bird\nB. photosynthesis", answer="B", grader="choice")


def exact(answer: str) -> Question:
    return Question(id="q", question="Which?", answer=answer)


def test_a_reply_in_the_template_is_left_as_it_is() -> None:
    assert as_template(SUM, f"  {TEMPLATED}\n") == TEMPLATED


@pytest.mark.parametrize(
    ("reply", "thinking"),
    [
        ("2 and 2 make 4.\n#### 4", "2 and 2 make 4"),
        ("Add them. So the answer is **4**.", "Add them"),
        ("Well, the answer is 4.", "Well"),
        ("The answer is 4.\nAdd one after the other.", "Add one after the other"),
        ("So the answer is **4**.", "So the answer is **4"),
        (r"Add them: \boxed{4}", "Add them"),
        ("Two plus two\n4", "Two plus two"),
        ("Let's think step by step: it is 3.0 + 1, so the final answer is: 4", "it is 3.0 + 1"),
    ],
)
def test_a_free_reply_is_split_into_thinking_and_final_answer(reply: str, thinking: str) -> None:
    result = as_template(SUM, reply)
    assert result == f"Let's think step by step: {thinking}. The final answer is: 4."
    assert as_template(SUM, result) == result


@pytest.mark.parametrize(
    ("reply", "thinking"),
    [
        ("Plants use light. So the correct answer is B. Photosynthesis is how they do.", "Plants use light"),
        ("B. photosynthesis\n\nA bird is an animal.", "A bird is an animal"),
        ("It needs light, so it must be photosynthesis.", "It needs light, so it must be photosynthesis"),
        ("Light. The final answer is: B. photosynthesis.", "Light"),
    ],
)
def test_the_final_answer_is_the_letter_alone_and_no_half_sentence_is_left_before_it(reply: str, thinking: str) -> None:
    assert take_apart(PLANTS, reply) == Parts(thinking, "B")


def test_the_last_marker_counts() -> None:
    reply = "The final answer is: 3. No, the final answer is: 5."
    assert take_apart(exact("5"), reply) == Parts("The final answer is: 3", "5")
    assert take_apart(exact("3"), reply) is None


@pytest.mark.parametrize(
    ("reply", "final"),
    [
        ("The answer is 12. I checked that this answer is correct.", "12"),
        ("The answer is 12, and I checked that this answer is correct", "12"),
        ("The answer is 3.5. This answer is right because 7 / 2 is 3.5.", "3.5"),
        ("The answer is **12**.\nLet me check.\nThe answer is correct.", "12"),
        ("#### 12\nSo the final answer is verified.", "12"),
        (r"It is \boxed{12}. That answer is indeed correct.", "12"),
        ("The answer is 12. Check: 3 * 4. Answer: correct", "12"),
        ("The answer is 12. My answer is not wrong. Your answer is incorrect.", "12"),
        ("The answer is 12. I hope that my answer is what you need.", "12"),
        ("Answer: Rome. Some say Paris, but that answer is wrong.", "Rome"),
    ],
)
def test_a_marker_that_only_speaks_of_the_answer_before_it_is_passed_over(reply: str, final: str) -> None:
    template = as_template(exact(final), reply)
    assert template is not None
    assert template.endswith(f"The final answer is: {final}.")


@pytest.mark.parametrize(
    ("reply", "final"),
    [
        ("I checked that this answer is correct.", "correct"),
        ("Is it left or right? The answer is right.", "right"),
        ("The answer is left. No, the final answer is: right.", "right"),
        ("My answer is 7.", "7"),
        ("At first the answer is 5. My final answer is 7.", "7"),
        ("At first the answer is 5. My answer is: 7.", "7"),
        ("The answer is 5. No, the answer is right triangles.", "right triangles"),
        ("The answer is 5. No, the answer is 7.", "7"),
        ("The answer is 5. No: we see that the answer is 7.", "7"),
        (
            "Let's think step by step: this answer is wrong. The final answer is: Dr. Who, and Rome.",
            "Dr. Who, and Rome",
        ),
    ],
)
def test_a_marker_alone_and_one_that_gives_an_answer_count(reply: str, final: str) -> None:
    parts = take_apart(exact(final), reply)
    assert parts is not None
    assert parts.final == final


def test_a_marker_with_nothing_behind_it_is_no_answer() -> None:
    assert take_apart(exact("Paris"), "It is Paris\nThe final answer is:") is None


@pytest.mark.parametrize("reply", ["", "   ", "Let's think step by step: "])
def test_a_reply_that_says_nothing_has_no_parts(reply: str) -> None:
    assert take_apart(SUM, reply) is None
    assert as_template(SUM, reply) is None
