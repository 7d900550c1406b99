"""Numbers and expressions by math-verify, the checker that the field's leaderboards use."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from math_verify import parse, verify
from math_verify.parser import ExprExtractionConfig, LatexExtractionConfig

from disrouter_training.data.graders.choice import Options
from disrouter_training.data.graders.statements import SENTENCE_END, Statement, Way

MAX_ANSWER = 256
"""Characters; longer answers are babble, and parsing them takes long."""
_KINDS = (LatexExtractionConfig(), ExprExtractionConfig())
_OUT_OF = re.compile(r"(?<=\d)(\W*\w*\W+\w*\W*)\bout\s+of\b.*", re.DOTALL)
"""`5 apples left out of 8`: what stands behind is not the answer."""
_UNITS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_VALUES = {
    **{word: value for value, word in enumerate(_UNITS)},
    **{word: 20 + 10 * place for place, word in enumerate(_TENS)},
    **{f"{ten}-{_UNITS[n]}": 20 + 10 * place + n for place, ten in enumerate(_TENS) for n in range(1, 10)},
}
_WORD = re.compile(rf"\b({'|'.join(sorted(_VALUES, key=len, reverse=True))})\b", re.IGNORECASE)


class Mathematics:
    """Equal in value: `1,234` and `1234`, `1/2` and `0.5`, `$72.00 in all` and `72`, `four` and `4`."""

    def problem(self, expected: str) -> str | None:
        """Must hold a value."""
        return None if _values(expected) else f"no number in {expected[:40]!r}"

    def correct(self, expected: str, final: str) -> bool:
        """Whether the values are one."""
        found = _values(_digits(final))
        return bool(found) and bool(verify(list(_values(expected)), list(found)))

    def read(self, statement: Statement, _options: Options) -> str | None:
        """The text of a place of a reply that holds its value, None if there is none, as in verdicts and openings."""
        if statement.way in (Way.JUDGED, Way.OPENING):
            return None
        text = statement.clean
        if statement.way is Way.MARKED:
            text = SENTENCE_END.split(text, maxsplit=1)[0]
        text = _OUT_OF.sub(r"\1", _digits(text))
        return text if _values(text) else None


def _digits(text: str) -> str:
    """Number words as digits, in a text that has no digits."""
    if any(character.isdigit() for character in text):
        return text
    return _WORD.sub(lambda match: str(_VALUES[match[1].lower()]), text)


@lru_cache(maxsize=65536)
def _values(text: str) -> tuple[Any, ...]:
    """What the text says, parsed; the same few hundred answers come again and again in training."""
    if len(text) > MAX_ANSWER:
        return ()
    return tuple(parse(text, extraction_config=_KINDS, fallback_mode="no_fallback"))
