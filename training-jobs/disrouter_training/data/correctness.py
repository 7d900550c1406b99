"""When a reply is right: one rule for stages, reports and pools."""

from __future__ import annotations

from disrouter.refusal import is_refusal
from disrouter_training.data.graders import is_correct
from disrouter_training.data.sources import Question


def is_right(question: Question, reply: str) -> bool:
    """Whether the reply answers the question and is correct. A refusal is not, whatever its words would grade as."""
    return not is_refusal(reply) and is_correct(question.grader, question.answer, reply)
