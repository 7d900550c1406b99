"""Whether a reply is right. Graders: `exact` (normalised text of the final answer) and `number` (its value)."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from enum import StrEnum

from disrouter_training.template import take_apart

_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?")
_EDGE = " \t\r\n.,;:!?\"'`*_()[]{}$"
_MAX_DIGITS = 40
"""Longer runs of digits are babble, not a number."""


class Grader(StrEnum):
    """How a question is graded."""

    EXACT = "exact"
    NUMBER = "number"


def is_correct(grader: Grader, answer: str, reply: str) -> bool:
    """Grade what follows "The final answer is:" (or stands in its place) against the answer."""
    parts = take_apart(reply)
    if parts is None:
        return False
    if grader is Grader.EXACT:
        return normalise(parts.final) == normalise(answer)
    expected, found = number_in(answer), number_in(parts.final)
    return found is not None and found == expected


def normalise(text: str) -> str:
    """Unicode form, case, inner white space and edge punctuation made one. A leading minus sign stays."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(_EDGE)


def number_in(text: str) -> Decimal | None:
    """The last number of a text, thousands separators forgiven."""
    found = _NUMBER.findall(text)
    if not found or len(found[-1]) > _MAX_DIGITS:
        return None
    return Decimal(found[-1].replace(",", ""))
