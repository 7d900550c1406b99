"""Graders of words: equal texts, letters of a multiple choice, spans of a passage."""

from __future__ import annotations

import re
import string
import unicodedata

_EDGE = " \t\r\n.,;:!?\"'`*_()[]{}$"
_LETTER = re.compile(r"[(\[]?([A-Z])[)\].:]?(?=\s|$)", re.IGNORECASE)
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
    """The letter of a multiple choice: `B`, `(b)`, `B.` or `B) because ...`."""

    def problem(self, expected: str) -> str | None:
        """Must be one letter."""
        return None if re.fullmatch(r"[A-Z]", expected) else f"{expected[:40]!r} is no letter from A to Z"

    def correct(self, expected: str, final: str) -> bool:
        """Whether the answer begins with the letter."""
        found = _LETTER.match(normalise(final, edge=" \t\r\n*_`\"'"))
        return found is not None and found[1].upper() == expected


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
