"""The graders."""

import pytest

from disrouter.refusal import REFUSAL
from disrouter_training.graders import is_correct


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
