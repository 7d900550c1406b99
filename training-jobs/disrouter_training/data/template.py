"""The response templates of Table 8, and taking a free reply apart into thinking and final answer.

The paper has a 14B model extract both from a reply (Table 9). Here markers do it, because a Job that trains a 0.5B
agent should not need a second, larger model; replies without any marker give their last line.
"""

from __future__ import annotations

import re
from typing import NamedTuple

THINK = "Let's think step by step: "
FINAL = "The final answer is: "

_TEMPLATE = re.compile(rf"{re.escape(THINK)}.*\. {re.escape(FINAL)}[^\n]+\.", re.DOTALL)
_MARKER = re.compile(
    r"(?P<sure>(?:the\s+)?final\s+answer\s+is\s*:|####)"
    r"|(?:(?P<whose>\b(?:this|that|my|your|our)\s+)|the\s+)?(?P<final>final\s+)?answer\s+is\s*(?P<colon>:)?"
    r"|(?:final\s+)?answer\s*:",
    re.IGNORECASE,
)
_JUDGEMENT = re.compile(
    r"(?:indeed|also|thus|therefore|not|in fact|likely|probably)?\s*"
    r"(?:correct|incorrect|right|wrong|verified|confirmed|checked|valid|invalid|consistent|reasonable|plausible)"
    r"(?:$|\s*[.,;:!)]|\s+(?:because|since|as|and|so|for|with|too|now|indeed)\b)",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"[.!?](?=\s)|,(?=\s+(?:and|but|so|which|I)\b)|;")
_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
_DECORATION = " \t\r\n*_`\"'"


class Parts(NamedTuple):
    """A reply taken apart."""

    thinking: str
    final: str


class _Marker(NamedTuple):
    """A place that says what the final answer is."""

    start: int
    end: int
    final: str
    """What stands behind it on its line, or in its box."""
    weak: bool
    """It speaks of an answer that was given before, if one was: `this answer is correct`."""


def take_apart(reply: str) -> Parts | None:
    """Thinking and final answer of a reply; None if it says nothing.

    The last marker counts, but for one that only speaks of the answer before it.
    """
    text = reply.removeprefix(THINK.rstrip()).strip()
    if not text:
        return None
    markers = sorted((*_spoken(text), *_boxed(text)), key=lambda marker: marker.end)
    if not markers:
        thinking, _, last = text.rpartition("\n")
        return Parts(thinking.rstrip(), _clean(last))
    place = next((n for n in reversed(range(len(markers))) if not markers[n].weak), 0)
    chosen, final = markers[place], markers[place].final
    if place + 1 < len(markers):  # a comment follows, on the same line perhaps
        final = _SENTENCE_END.split(final, maxsplit=1)[0]
    return Parts(text[: chosen.start].rstrip(), _clean(final))


def as_template(reply: str) -> str | None:
    """The reply in the Answer template; as it stands where it follows it already, None if it has no final answer."""
    reply = reply.strip()
    if _TEMPLATE.fullmatch(reply):
        return reply
    parts = take_apart(reply)
    if parts is None or not parts.final:
        return None
    thinking = parts.thinking.rstrip(_DECORATION + ".:")
    return f"{THINK}{thinking}. {FINAL}{parts.final}."


def _spoken(text: str) -> list[_Marker]:
    """Markers in words; those with nothing behind them are none."""
    found = []
    for match in _MARKER.finditer(text):
        rest = text[match.end() :].strip()
        if rest.strip(_DECORATION + ".:"):
            final = rest.splitlines()[0]
            found.append(_Marker(*match.span(), final, weak=_is_weak(match, final)))
    return found


def _is_weak(match: re.Match[str], final: str) -> bool:
    """Not where it says that it is the final answer: that may be `right`, of `left or right`."""
    if match["sure"]:
        return False
    whose = match["whose"] is not None and match["final"] is None and match["colon"] is None
    return whose or _JUDGEMENT.match(_clean(final)) is not None


def _boxed(text: str) -> list[_Marker]:
    return [_Marker(*match.span(), match[1], weak=False) for match in _BOXED.finditer(text)]


def _clean(final: str) -> str:
    """Without Markdown and the closing full stop, which belongs to the template and not to the answer."""
    return final.strip(_DECORATION).rstrip(".").strip(_DECORATION)
