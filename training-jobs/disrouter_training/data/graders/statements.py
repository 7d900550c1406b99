"""Where a reply says what its answer is: the places a person would look at, the most telling first. Pure text.

Small models end in many ways: `The answer is B`, `B is correct`, `\\boxed{4}`, `**4**`, a letter before or after the
reason, a bare last line. Each way is one extractor here; a grader takes the first place that it can read an answer of
its kind from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from disrouter_training.data.template import THINK

CLOSING_LINES = 4
"""Lines from the end that are looked at; models close with a wish or an offer."""

_BE = r"(?:is|are|was|must\s+be|should\s+be|would\s+be|will\s+be|has\s+to\s+be|=)"
_HEDGE = r"(?:\s+(?:therefore|thus|then|hence|clearly|indeed|simply|likely|probably|most\s+likely|actually))?"
_FIT = r"(?:correct|right|best|true|accurate|appropriate|suitable|reasonable|plausible|likely|fitting)"
_NOUN = r"(?:answer|option|choice|response|solution|conclusion|statement|completion|one)"
_AFTER = re.compile(
    r"(?P<sure>(?:the\s+)?final\s+answer\s+is\s*:|####)"
    rf"|(?:(?P<whose>\b(?:this|that|my|your|our)\s+)|the\s+)?(?P<final>final\s+)?"
    rf"(?:(?:most\s+)?{_FIT}\s+(?:{_FIT}\s+)?{_NOUN}|\banswer|\bcorrect\s+letter)"
    rf"(?:\s+(?:to|for|of|among|from|here|that|in|which)\b[^.:\n]{{0,160}}?)?\s+{_BE}{_HEDGE}\s*(?P<colon>:)?"
    rf"|(?:final\s+|correct\s+)?(?:answer|{_FIT}\s+(?:option|choice))\s*:"
    r"|\b(?:I|we)\s+(?:would\s+|will\s+|'d\s+)?(?:choose|select|pick|go\s+with)\b"
    r"|\b(?:can|could)\s+be\s+concluded\s+that\b",
    re.IGNORECASE,
)
_BEFORE = re.compile(
    rf"(?P<what>[^.\n!?;]{{1,200}}?)\s+(?:is|would\s+be|must\s+be|seems|are|as){_HEDGE}\s+"
    rf"(?:(?:the|a|an)\s+)?(?:only\s+|most\s+|single\s+)?{_FIT}\b",
    re.IGNORECASE,
)
"""The answer before the verdict on it: `Thus, B is correct`."""
_JUDGEMENT = re.compile(
    r"(?:indeed|also|thus|therefore|not|in fact|likely|probably)?\s*"
    r"(?:correct|incorrect|right|wrong|verified|confirmed|checked|valid|invalid|consistent|reasonable|plausible)"
    r"(?:$|\s*[.,;:!)]|\s+(?:because|since|as|and|so|for|with|too|now|indeed)\b)",
    re.IGNORECASE,
)
_BOXED = re.compile(r"\\boxed\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}")
_BOLD = re.compile(r"\*\*([^*\n]{1,120})\*\*")
_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_LETTERED = re.compile(r"\W*([A-Za-z])[.):]\s")
_DECORATION = " \t\r\n*_`\"'"
SENTENCE_END = re.compile(r"[.!?](?=\s)|,(?=\s+(?:and|but|so|which|I)\b)|;")


class Way(StrEnum):
    """How an answer is stated."""

    MARKED = "marked"
    """Behind words that announce it, or in a box."""
    JUDGED = "judged"
    """Before the verdict that it is right."""
    OPENING = "opening"
    """The first line; the reason follows."""
    BOLD = "bold"
    CLOSING = "closing"
    """One of the last lines."""


class Statement(NamedTuple):
    """A place in a reply that says what the answer is."""

    way: Way
    start: int
    end: int
    text: str
    """What is said there, to the end of its line, as written."""

    @property
    def clean(self) -> str:
        """Without Markdown and the closing full stop, which belongs to the template and not to the answer."""
        return undecorated(self.text)


class _Marker(NamedTuple):
    start: int
    end: int
    text: str
    weak: bool
    """It speaks of an answer that was given before, if one was: `this answer is correct`."""


def body(reply: str) -> str:
    """The reply without the words that it was made to start with, and without blocks of code beside its text."""
    text = reply.strip().removeprefix(THINK.rstrip()).strip()
    return _CODE.sub("\n", text).strip() or text


def statements(text: str) -> Iterator[Statement]:
    """All of a `body`, the most telling first: the last announcement, the last verdict, then lines by their place."""
    yield from _marked(text)
    for match in reversed(list(_BEFORE.finditer(text))):
        yield Statement(Way.JUDGED, match.start("what"), match.end(), match["what"])
    lines = _lines(text)
    if len(lines) > 1:
        yield lines[0]._replace(way=Way.OPENING)
    for match in reversed(list(_BOLD.finditer(text))):
        yield Statement(Way.BOLD, *match.span(), match[1])
    yield from reversed(lines[-CLOSING_LINES:])


def undecorated(text: str) -> str:
    """Without Markdown and a closing full stop."""
    return text.strip(_DECORATION).rstrip(".").strip(_DECORATION)


def _marked(text: str) -> list[Statement]:
    """From the last one back; one that only speaks of the answer before it counts where there is no other."""
    found = sorted((*_spoken(text), *_boxed(text)), key=lambda marker: marker.end)
    strong = [place for place, marker in enumerate(found) if not marker.weak] or [0][: len(found)]
    return [_stated(found, place) for place in reversed(strong)]


def _stated(found: list[_Marker], place: int) -> Statement:
    marker = found[place]
    text = marker.text
    if place + 1 < len(found):  # a comment follows, on the same line perhaps
        text = SENTENCE_END.split(text, maxsplit=1)[0]
    return Statement(Way.MARKED, marker.start, marker.end, text)


def _spoken(text: str) -> Iterator[_Marker]:
    """Markers in words; those with nothing behind them are none."""
    for match in _AFTER.finditer(text):
        rest = text[match.end() :].strip()
        if rest.strip(_DECORATION + ".:"):
            line = rest.splitlines()[0]
            yield _Marker(*match.span(), line, weak=_is_weak(match, line))


def _is_weak(match: re.Match[str], line: str) -> bool:
    """Not where it says that it is the final answer: that may be `right`, of `left or right`."""
    if match["sure"]:
        return False
    whose = match["whose"] is not None and match["final"] is None and match["colon"] is None
    return whose or _JUDGEMENT.match(undecorated(line)) is not None


def _boxed(text: str) -> Iterator[_Marker]:
    for match in _BOXED.finditer(text):
        yield _Marker(*match.span(), match[1], weak=False)


def _lines(text: str) -> list[Statement]:
    """Lines that say something, without lists of options: a letter, and others on the lines beside it."""
    found = [match for match in re.finditer(r"[^\n]+", text) if match[0].strip(_DECORATION + ".:#-")]
    letters = [match[1].upper() if (match := _LETTERED.match(line[0])) else None for line in found]
    return [
        Statement(Way.CLOSING, *line.span(), line[0])
        for place, line in enumerate(found)
        if not _is_listed(letters, place)
    ]


def _is_listed(letters: list[str | None], place: int) -> bool:
    """Whether the line is one of a list: it and a neighbour are lettered in order, and there are three of them."""
    for start in range(max(0, place - 2), place + 1):
        run = [letter for letter in letters[start : start + 3] if letter]
        if len(run) == 3 and letters[place] and run == sorted(set(run)):
            return True
    return False
