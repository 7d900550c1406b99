"""One rule for when a reply is right."""

import pytest

from disrouter.refusal import REFUSAL
from disrouter_training.data.correctness import is_right
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
