"""Another, simpler way to read a reply, beside the graders' own: where the two differ, a person should look.

Multiple choices and numbers by math-verify on the whole reply, spans by whether an expected one is in the closing
lines. It never decides: it shows datasets whose replies are hard to read.
"""

from __future__ import annotations

from math_verify import parse, verify
from math_verify.parser import ExprExtractionConfig, LatexExtractionConfig, StringExtractionConfig

from disrouter_training.data.graders import SEPARATOR
from disrouter_training.data.graders.choice import options_of
from disrouter_training.data.graders.statements import CLOSING_LINES, body
from disrouter_training.data.graders.text import Span
from disrouter_training.data.sources import Question

END = 500
"""Characters from the end that are looked at; parsing long replies takes long."""
_NUMBERS = (LatexExtractionConfig(), ExprExtractionConfig())


def second_reading(question: Question, reply: str) -> bool | None:
    """Whether the reply is right by the other way; None for graders that have none."""
    text = body(reply)[-END:]
    expected = question.answer.split(SEPARATOR)
    match question.grader:
        case "choice":
            letters = tuple(options_of(question.question)) or ("A", "B", "C", "D")
            found = parse(
                text, extraction_config=[StringExtractionConfig(strings=letters)], fallback_mode="no_fallback"
            )
            return bool(found) and str(found[0]).upper() in expected
        case "number" | "math":
            values = parse(text, extraction_config=_NUMBERS, fallback_mode="no_fallback")
            return any(verify(parse(each, extraction_config=_NUMBERS), values) for each in expected)
        case "span":
            closing = " ".join(text.splitlines()[-CLOSING_LINES:])
            return any(Span().within(each, closing) for each in expected)
    return None
