"""Graders of words: equal texts, letters of a multiple choice, spans of a passage."""

from __future__ import annotations

import re
import string
import unicodedata

_EDGE = " \t\r\n.,;:!?\"'`*_()[]{}$"
_LETTER = re.compile(
    r"(?:(?:the )?(?:correct |right )?(?:option|choice|answer)(?: is)?:? )?[(\[]?([a-z])"
    r"(?:$|[)\]:]|[.,;](?=\s|$)|(?= [-–—])|(?= (?:because|since|as|is)\b)|(?<=[^ai])(?= ))"
)
"""A letter, and what shows that it is one: bare words may follow any but A and I, which are words themselves."""
_SEVERAL = re.compile(r"[a-z][)\]]?(?:,| ?[/&]| and| or)(?: (?:and|or))? ?[(\[]?[a-z](?:[)\],./&]|$| (?:and|or|are)\b)")
"""`A or B`, `B, C and D`: more than one letter is no choice."""
_MARKUP = str.maketrans(dict.fromkeys("*_`\"'"))
_ARTICLE = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation))


class Exact:
    """Equal but for Unicode form, case, inner white space and edge punctuation. A leading minus sign stays."""

    def problem(self, expected: str) -> str | None:
        """Anything that is not empty can be compared."""
        return None if normalise(expected) else "is empty once punctuation is taken off"

    def correct(self, expected: str, final: str) -> bool:
        """Whether the two are one text."""
        return normalise(final) == normalise(expected)


class Choice:
    """The letter of a multiple choice: `B`, `(b)`, `B.`, `option B`, `B, because ...`; not the article of `A rock`."""

    def problem(self, expected: str) -> str | None:
        """Must be one letter."""
        return None if re.fullmatch(r"[A-Z]", expected) else f"{expected[:40]!r} is no letter from A to Z"

    def correct(self, expected: str, final: str) -> bool:
        """Whether the answer begins with the letter, and with no other one."""
        text = normalise(final.translate(_MARKUP), edge=" ")
        found = _LETTER.match(text)
        return found is not None and found[1].upper() == expected and not _SEVERAL.match(text, found.start(1))


class Span:
    """Equal as the evaluation script of SQuAD normalises (Rajpurkar et al., 2016): no case, articles, punctuation."""

    def problem(self, expected: str) -> str | None:
        """Anything that has letters or digits."""
        return None if _span(expected) else "is empty once articles and punctuation are taken off"

    def correct(self, expected: str, final: str) -> bool:
        """Whether the two are one span."""
        return _span(final) == _span(expected)


def normalise(text: str, edge: str = _EDGE) -> str:
    """Unicode form, case and inner white space made one, without `edge` characters at either end."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(edge)


def _span(text: str) -> str:
    return " ".join(_ARTICLE.sub(" ", text.lower().translate(_PUNCTUATION)).split())
