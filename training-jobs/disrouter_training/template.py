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
_MARKER = re.compile(r"(?:the\s+)?(?:final\s+)?answer\s+is\s*:?|####|(?:final\s+)?answer\s*:", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
_DECORATION = " \t\r\n*_`\"'"


class Parts(NamedTuple):
    """A reply taken apart."""

    thinking: str
    final: str


def take_apart(reply: str) -> Parts | None:
    """Thinking and final answer of a reply; None if it says nothing. The last marker counts."""
    text = reply.removeprefix(THINK.rstrip()).strip()
    if not text:
        return None
    boxed = list(_BOXED.finditer(text))
    markers = [match for match in _MARKER.finditer(text) if text[match.end() :].strip(_DECORATION + ".:")]
    if boxed and (not markers or boxed[-1].end() > markers[-1].end()):
        return Parts(text[: boxed[-1].start()].rstrip(), _clean(boxed[-1][1]))
    if markers:
        rest = text[markers[-1].end() :].strip()
        return Parts(text[: markers[-1].start()].rstrip(), _clean(rest.splitlines()[0]))
    thinking, _, last = text.rpartition("\n")
    return Parts(thinking.rstrip(), _clean(last))


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


def _clean(final: str) -> str:
    """Without Markdown and the closing full stop, which belongs to the template and not to the answer."""
    return final.strip(_DECORATION).rstrip(".").strip(_DECORATION)
