"""What the first events of a streamed chat amount to, where that can be seen without parsing them.

An answer shows by its first letter. A refusal is much like the last one: of events that hold a piece of text and no
more, the pieces alone count, and what the parser has made of the same pieces before is remembered.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from disrouter.refusal import Decision, RefusalMatcher
from disrouter_sidecar.decision.stream import PLAIN, Expectation, StreamDecider
from disrouter_sidecar.decision.verdict import ANSWER, UNDECIDED, Verdict
from disrouter_sidecar.openai import CHAT
from disrouter_sidecar.openai.usage import Usage

_EVENT, _DELTA, _END, _GOES_ON = b'data: {"id":', b'"delta":{', b"\n\n", b'"finish_reason":null'
_CONTENT = re.compile(rb'[^{}\[]*?"content":"( *)([^ ])')
"""In a delta: blanks, and the text's first letter behind them or its closing mark. Nothing nested comes before, whose
`content` is not the delta's own."""
_MAX_BYTES = 16 * 1024
_NULLS = rb'(?:,"(?!choices|content|delta|finish_reason|index)\w+":null)*'
_PIECE = re.compile(
    rb'data: \{"id":"[ !#-\[\]-~]*","object":"chat\.completion\.chunk"(?:,"created":(?:0|[1-9]\d{0,14}))?'
    rb'(?:,"(?:model|system_fingerprint)":"[ !#-\[\]-~]*")*,"choices":\[\{"index":0,'
    rb'"delta":\{(?:(?:"role":"assistant",)?("content":"[^"\\\x00-\x1f]{0,64}")' + _NULLS + rb")?\}"
    rb'(?:,"logprobs":null)?(,"finish_reason":(?:null|"stop"))' + _NULLS + rb"\}\]" + _NULLS + rb"\}\n\n"
)
"""An event with a piece of text and no more, as vLLM and its like write it: the text, and whether it is the last."""
_DONE = b"data: [DONE]\n\n"
_MAX_SAID = 512
"""Bytes of pieces that are remembered: no more of the texts of models is kept than refusals take."""


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


class Judged(NamedTuple):
    """What the parser makes of some events."""

    verdict: Verdict
    usage: Usage


@lru_cache(maxsize=128)
def _judged(said: bytes) -> Judged:
    """Of events that hold these, one a line, and nothing else."""
    decider = StreamDecider(CHAT)
    for line in said.split(b"\n"):
        content, _, reason = line.rpartition(b',"finish_reason":')
        event = b'{"choices":[{"index":0,"delta":{%b},"finish_reason":%b}]}' % (content, reason)
        decider.feed(_DONE if line == _DONE.strip() else b"data: %b\n\n" % event if line else b"")
    return Judged(decider.verdict, decider.usage)


class FirstEvents:
    """The events of one reply up to the one that decides."""

    __slots__ = ("_place", "_plain", "_said", "held", "usage")

    def __init__(self, expectation: Expectation) -> None:
        self.held = b""
        """All that came."""
        self.usage: Usage | None = None
        """Of a refusal."""
        self._plain = expectation == PLAIN
        self._place = 0
        """Up to where the events that hold pieces of text alone were read."""
        self._said = b""

    def feed(self, piece: bytes) -> Verdict | None:
        """Take the next bytes of the body; None where whoever parses them has to see."""
        self.held += piece
        answer = None if self._said else answers(self.held)
        if answer is not None:
            return ANSWER if answer else UNDECIDED
        judged = self._read()
        if judged is None:
            return None
        self.usage = judged.usage
        return judged.verdict

    def _read(self) -> Judged | None:
        """Read on; None where there is more than pieces of text, or more of them than any refusal has."""
        held, size = self.held, len(self.held)
        while self._place < size:
            found = _PIECE.match(held, self._place)
            if found is not None:
                self._said += b"".join((*found.groups(b""), b"\n"))
                self._place = found.end()
            elif held.startswith(_DONE, self._place):
                self._said += _DONE
                self._place += len(_DONE)
            else:
                return None
        return _judged(self._said) if self._plain and len(self._said) <= _MAX_SAID else None
