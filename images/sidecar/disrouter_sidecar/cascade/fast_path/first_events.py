"""What the first events of a streamed chat amount to, where that can be seen without parsing them."""

from __future__ import annotations

import re

from disrouter.refusal import Decision, RefusalMatcher

_EVENT, _DELTA, _END, _GOES_ON = b'data: {"id":', b'"delta":{', b"\n\n", b'"finish_reason":null'
_CONTENT = re.compile(rb'[^{}\[]*?"content":"( *)([^ ])')
"""In a delta: blanks, and the text's first letter behind them or its closing mark. Nothing nested comes before, whose
`content` is not the delta's own."""
_MAX_BYTES = 16 * 1024


def _decides(letter: str) -> bool:
    matchers = RefusalMatcher(), RefusalMatcher()
    decisions = matchers[0].feed(letter), matchers[1].feed(f"  {letter}")
    return all(decision is Decision.ANSWER for decision in decisions) and all(matcher.said for matcher in matchers)


_CLEAR = frozenset(
    letter.encode() for letter in map(chr, range(0x21, 0x7F)) if letter not in '"\\' and _decides(letter)
)
"""Letters with which only an answer begins, behind blanks or not, as the matcher says."""


def answers(events: bytes) -> bool | None:
    """True: they answer; False: they say nothing yet; None: whoever parses them has to see.

    Events are taken as vLLM and its like write them, one line each. False may be wrong of an event that says something
    else than text: then what follows it is held back too, until it is seen or parsed.
    """
    if not events.endswith(_END) or len(events) > _MAX_BYTES or b"\r" in events or b'"error"' in events:
        return None
    place, size = 0, len(events)
    while place < size:
        end, delta = events.find(b"\n", place), events.find(_DELTA, place)
        if not (events.startswith(_EVENT, place) and events.startswith(_END, end) and place < delta < end):
            return None
        said = _CONTENT.match(events, delta + len(_DELTA), end)
        if said is None:
            return None
        blanks, letter = said.groups()
        if letter != b'"':
            return True if letter in _CLEAR else None
        if blanks or events.find(_GOES_ON, said.end(), end) < 0:
            return None
        place = end + len(_END)
    return False
