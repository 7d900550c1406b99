"""Graders of words: equal texts, and spans of a passage as the official scripts compare them."""

from __future__ import annotations

import re
import string
import unicodedata

from disrouter_training.data.graders.choice import Options
from disrouter_training.data.graders.statements import Statement, Way

MAX_AROUND = 16
"""Words that may stand around a span in the sentence that gives it; more are a retelling and no answer."""
_EDGE = " \t\r\n.,;:!?\"'`*_()[]{}$"
_ARTICLE = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation))
_HYPHENS = re.compile(r"(?<=\w)[-–—/](?=\w)")
_NUMBER = re.compile(r"(?<![\w.])\$?(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?%?(?![\w])")
_DENIED = re.compile(r"\b(?:not|nor|neither|never|or)\b|n't\b", re.IGNORECASE)


class Exact:
    """Equal but for Unicode form, case, inner white space and edge punctuation. A leading minus sign stays."""

    def problem(self, expected: str) -> str | None:
        """Anything that is not empty can be compared."""
        return None if normalise(expected) else "is empty once punctuation is taken off"

    def correct(self, expected: str, final: str) -> bool:
        """Whether the two are one text."""
        return normalise(final) == normalise(expected)


class Span:
    """A name or a few words. Equal as the scripts of SQuAD (Rajpurkar et al., 2016) and DROP (Dua et al., 2019) take
    them: without case, articles and punctuation, hyphens as blanks, numbers by value; or said in one short sentence."""

    def problem(self, expected: str) -> str | None:
        """Anything that has letters or digits."""
        return None if _span(expected) else "is empty once articles and punctuation are taken off"

    def correct(self, expected: str, final: str) -> bool:
        """Whether the final answer is the span, or a short sentence with it that denies nothing and has no `or`."""
        wanted, said = _span(expected), _span(final)
        if said == wanted:
            return True
        around = len(said.split()) - len(wanted.split())
        return self.within(expected, final) and around <= MAX_AROUND and not _DENIED.search(_without(final, expected))

    def within(self, expected: str, text: str) -> bool:
        """Whether the span is said anywhere in a text."""
        return f" {_span(expected)} " in f" {_span(text)} "

    def read(self, statement: Statement, _options: Options) -> str | None:
        """What is announced, or the last line; verdicts and first lines are about other things too often."""
        return statement.clean or None if statement.way in (Way.MARKED, Way.CLOSING) else None


def normalise(text: str, edge: str = _EDGE) -> str:
    """Unicode form, case and inner white space made one, without `edge` characters at either end."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(edge)


def _span(text: str) -> str:
    text = _NUMBER.sub(_value, unicodedata.normalize("NFKC", text).lower())
    text = _HYPHENS.sub(" ", text).translate(_PUNCTUATION)
    return " ".join(_ARTICLE.sub(" ", text).split())


def _value(match: re.Match[str]) -> str:
    """A number as one word without punctuation: its decimals stay, or 1.5 would be 15."""
    decimals = (match[2] or "").rstrip("0").rstrip(".")
    return match[1].replace(",", "") + decimals.replace(".", "point")


def _without(text: str, part: str) -> str:
    """What is said around the span, whose own `or` denies nothing."""
    return re.sub(re.escape(part), " ", text, flags=re.IGNORECASE)
