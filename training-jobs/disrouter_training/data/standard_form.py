"""Putting a free reply into the Answer template.

The paper has a 14B model take replies apart (Table 9). Here the grader does it, which knows where the right answer
stands, because a Job that trains a 0.5B agent should not need a second, larger model.
"""

from __future__ import annotations

import re

from disrouter_training.data.correctness import canonical, final_answer
from disrouter_training.data.graders.statements import body
from disrouter_training.data.sources import Question
from disrouter_training.data.template import Parts

_EDGE = " \t\r\n*_`\"'.:,;#-"
_SENTENCE = re.compile(r"(?<=[.!?])[\"')*]*\s+|\n+")
_DANGLING = re.compile(
    r"(?:[\s,;:*]*\b(?:so|thus|therefore|hence|then|and|the|that|this\s+means|we\s+can\s+(?:say|conclude|see)|my)\b)+"
    r"[\s,;:*]*$",
    re.IGNORECASE,
)
"""What is left of `so the` when the answer that it leads to is taken away."""


def take_apart(question: Question, reply: str) -> Parts | None:
    """Thinking and final answer of a right reply; None for a wrong one.

    The thinking is what stands before the sentence that gives the answer; where that is nothing, what stands before
    the answer, after it, or all of it.
    """
    final, found = canonical(question, reply), final_answer(question, reply)
    if final is None or found is None:
        return None
    text, place = body(reply), found.statement
    before = text[: place.start]
    whole = [match.end() for match in _SENTENCE.finditer(before)]
    choices = (before[: whole[-1]] if whole else "", _DANGLING.sub("", before), _after(text, place.end), text)
    return Parts(next(part for part in (each.strip(_EDGE) for each in choices) if part), final)


def as_template(question: Question, reply: str) -> str | None:
    """A right reply in the Answer template, its final answer as the dataset writes it; None for a wrong one."""
    parts = take_apart(question, reply)
    return None if parts is None else parts.filled


def _after(text: str, end: int) -> str:
    """The reason that follows the line of the answer."""
    return text[end:].partition("\n")[2]
