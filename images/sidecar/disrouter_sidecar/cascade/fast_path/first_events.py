"""What the first events of a streamed chat amount to, where that can be seen without parsing them."""

from __future__ import annotations

from disrouter.refusal import Decision, RefusalMatcher

_EVENT, _TEXT = b'data: {"id":', b'"delta":{'
_CONTENT = b'"content":"'
_SAYS_NOTHING = (b'"content":""', b'"content":null')
_MAX_BYTES = 16 * 1024


def _decides(letter: str) -> bool:
    matchers = RefusalMatcher(), RefusalMatcher()
    decisions = matchers[0].feed(letter), matchers[1].feed(f"  {letter}")
    return all(decision is Decision.ANSWER for decision in decisions) and all(matcher.said for matcher in matchers)


_NESTED = (b"{", b"[", b"}")
"""Marks behind which a `content` is not the delta's own."""
_CLEAR = frozenset(
    letter.encode() for letter in map(chr, range(0x21, 0x7F)) if letter not in '"\\' and _decides(letter)
)
"""Letters with which only an answer begins, behind blanks or not, as the matcher says."""


def answers(events: bytes) -> bool | None:
    """True: they answer; False: they say nothing yet; None: whoever parses them has to see.

    Events are taken as vLLM and its like write them, one line each. False may be wrong of an event that says something
    else than text: then what follows it is held back too, until it is seen or parsed.
    """
    if not events.endswith(b"\n\n") or len(events) > _MAX_BYTES or b"\r" in events or b'"error"' in events:
        return None
    for event in events[:-2].split(b"\n\n"):
        if not event.startswith(_EVENT) or b"\n" in event:
            return None
        delta = event.find(_TEXT) + len(_TEXT)
        place = event.find(_CONTENT, delta)
        if delta < len(_TEXT) or any(mark in event[delta:place] for mark in _NESTED):
            return None
        if place < 0 or event.startswith(_SAYS_NOTHING, place):
            if event.startswith(_SAYS_NOTHING[0], place) and b'"finish_reason":null' in event:
                continue
            return None
        text = event[place + len(_CONTENT) :].lstrip(b" ")
        return True if text[:1] in _CLEAR else None
    return False
