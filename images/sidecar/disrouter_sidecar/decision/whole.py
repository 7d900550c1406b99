"""Answer or refuse, from a whole reply."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from disrouter.refusal import Decision, judge
from disrouter_sidecar.decision.lenient_json import loads, object_in
from disrouter_sidecar.decision.sse import looks_like_events
from disrouter_sidecar.decision.stream import PLAIN, Expectation, StreamDecider
from disrouter_sidecar.decision.verdict import (
    ANSWER,
    EMPTY,
    FAILED,
    REFUSE,
    UNDECIDABLE,
    UNDECIDED,
    UNFINISHED,
    Verdict,
)
from disrouter_sidecar.openai import CHAT
from disrouter_sidecar.openai.dialect import ChoiceUpdate, Dialect
from disrouter_sidecar.openai.usage import Usage, usage_of

LARGE = 1024 * 1024
"""Bytes of a reply of which only the choices are parsed, not the numbers beside them, which take many times as much."""
SHORT = 1024
"""Bytes of a reply whose verdict is remembered with its choices: of the texts of models no more are kept than that."""
_NO_ERROR = (b"", b"null")
_TEXT_OPENS = (b'"content":"', b'"content": "', b'"text":"', b'"text": "')
_END = (b"}", b"}\n")
_UNCERTAIN = frozenset(b"Ii\"\\<[({&*_`#>~'-")
"""With what a refusal that a limit cuts off, wrapping or an empty text may begin."""


class WholeReply(NamedTuple):
    """What a reply is, and what else was read in it."""

    verdict: Verdict
    error: Mapping[str, Any] | None = None
    usage: Usage | None = None


def decide_whole(dialect: Dialect, body: bytes, expectation: Expectation = PLAIN) -> WholeReply:
    """A refusal when it has choices and each of them refuses or says nothing, one of them refusing."""
    known = _decide_known(dialect, body, expectation)
    if known is not None:
        return known
    try:
        reply = object_in(_loads(body))
    except ValueError:
        return _decide_unread(dialect, body, expectation)
    error = dialect.error(reply)
    if error is not None:
        return WholeReply(FAILED, error)
    return WholeReply(_verdict(list(dialect.whole(reply)), expectation), usage=usage_of(reply))


class _Parts(msgspec.Struct):
    """What a reply is judged by, as it stands there."""

    choices: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    usage: msgspec.Raw = msgspec.Raw()
    object: Any = None


_parts_of = msgspec.json.Decoder(_Parts).decode


def _decide_known(dialect: Dialect, body: bytes, expectation: Expectation) -> WholeReply | None:
    """The same of a chat's short reply, whose choices may well have been judged before: refusals are alike."""
    if len(body) > SHORT or dialect is not CHAT:
        return None
    try:
        parts = _parts_of(body)
    except (msgspec.DecodeError, UnicodeError):
        return None
    if not parts.choices or bytes(parts.error) not in _NO_ERROR or parts.object == "error":
        return None
    usage = usage_of({"usage": loads(bytes(parts.usage))}) if parts.usage else None
    return WholeReply(_verdict_of(bytes(parts.choices), expectation), usage=usage)


@lru_cache(maxsize=128)
def _verdict_of(choices: bytes, expectation: Expectation) -> Verdict:
    return _verdict(list(CHAT.whole({"choices": loads(choices)})), expectation)


def says_something_else(body: bytes) -> bool:
    """Whether a reply is known for an answer unread: it ends, and its first text begins with what begins no refusal.

    Each refusal holds "don", unless JSON or HTML spells its letters otherwise.
    """
    if (
        not body.endswith(_END)
        or b"&" in body
        or b'"error"' in body
        or not body.isascii()
        or (b"\\" in body and b"\\u" in body)
        or b"don" in body.lower()
    ):
        return False
    for opens in _TEXT_OPENS:
        place = body.find(opens)
        if place >= 0:
            text = body[place + len(opens) :].lstrip(b" ")
            return bool(text) and text[0] not in _UNCERTAIN
    return False


def _verdict(choices: list[ChoiceUpdate], expected: Expectation) -> Verdict:
    refused = cut = False
    for choice in choices:
        if choice.answers:
            return ANSWER
        truncated = choice.truncated or expected.cut
        decision, said = judge(choice.text, truncated=truncated, reasoning=expected.reasoning)
        if choice.defers or (expected.refuses and decision is Decision.REFUSE):
            refused = True
        elif said:
            return ANSWER
        cut |= truncated
    if refused:
        return REFUSE
    return UNFINISHED if cut else EMPTY


def _decide_unread(dialect: Dialect, body: bytes, expectation: Expectation) -> WholeReply:
    """No JSON: a stream that nobody asked for, or nothing that can be judged."""
    if not looks_like_events(body):
        return WholeReply(EMPTY if not body.strip() else UNDECIDABLE)
    decider = StreamDecider(dialect, expectation)
    if decider.feed(body) is UNDECIDED:
        decider.finish()
    return WholeReply(decider.verdict, decider.error, decider.usage)


class _Choice(msgspec.Struct):
    index: Any = 0
    message: Any = None
    text: Any = None
    finish_reason: Any = None
    stop_reason: Any = None


class _Large(msgspec.Struct):
    """The fields of a large reply that are read; everything else is skipped without a value being made."""

    choices: list[_Choice] | None = None
    error: Any = None


def _loads(body: bytes) -> Any:
    """Raises ValueError where it is no JSON."""
    if len(body) > LARGE:
        try:
            large = msgspec.json.decode(body, type=_Large)
        except (msgspec.DecodeError, UnicodeError):
            return loads(body)
        if large.choices is not None:
            return msgspec.to_builtins(large)
    return loads(body)


def usage_of_whole(body: bytes) -> Usage | None:
    """What a whole reply says it has used."""
    try:
        return usage_of(loads(body))
    except ValueError:
        return None
