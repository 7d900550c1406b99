"""Taking replies apart and putting them into Table 8's template."""

import pytest

from disrouter_training.data.template import Parts, as_template, take_apart

TEMPLATED = "Let's think step by step: 2 and 2 make 4. The final answer is: 4."


def test_a_reply_in_the_template_is_left_as_it_is() -> None:
    assert as_template(f"  {TEMPLATED}\n") == TEMPLATED


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("2 and 2 make 4.\n#### 4", "Let's think step by step: 2 and 2 make 4. The final answer is: 4."),
        ("So the answer is **4**.", "Let's think step by step: So. The final answer is: 4."),
        (r"Add them: \boxed{4}", "Let's think step by step: Add them. The final answer is: 4."),
        ("Two plus two\n4", "Let's think step by step: Two plus two. The final answer is: 4."),
        ("Let's think step by step: it is 3.5, so the final answer is: 3.5", None),
    ],
)
def test_a_free_reply_is_split_into_thinking_and_final_answer(reply: str, expected: str | None) -> None:
    result = as_template(reply)
    assert result == (expected or "Let's think step by step: it is 3.5, so. The final answer is: 3.5.")
    assert as_template(result) == result


def test_the_last_marker_counts() -> None:
    assert take_apart("The final answer is: 3. No, the final answer is: 5.") == Parts(
        "The final answer is: 3. No,", "5"
    )


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
    parts = take_apart(reply)
    assert parts is not None
    assert parts.final == final
    template = as_template(reply)
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
    parts = take_apart(reply)
    assert parts is not None
    assert parts.final == final


def test_a_marker_with_nothing_behind_it_is_no_answer() -> None:
    assert take_apart("It is Paris\nThe final answer is:") == Parts("It is Paris", "The final answer is:")


@pytest.mark.parametrize("reply", ["", "   ", "Let's think step by step: "])
def test_a_reply_that_says_nothing_has_no_parts(reply: str) -> None:
    assert take_apart(reply) is None
    assert as_template(reply) is None
