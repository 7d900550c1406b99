"""Taking replies apart and putting them into Table 8's template."""

import pytest

from disrouter_training.template import Parts, as_template, take_apart

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


def test_a_marker_with_nothing_behind_it_is_no_answer() -> None:
    assert take_apart("It is Paris\nThe final answer is:") == Parts("It is Paris", "The final answer is:")


@pytest.mark.parametrize("reply", ["", "   ", "Let's think step by step: "])
def test_a_reply_that_says_nothing_has_no_parts(reply: str) -> None:
    assert take_apart(reply) is None
    assert as_template(reply) is None
