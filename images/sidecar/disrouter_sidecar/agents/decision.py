"""Answer or refuse: from the first deltas of a stream, or from a whole reply.

A request refuses only when every one of its choices does. Reasoning fields decide nothing; tool calls, audio and a
policy refusal of the provider are answers. What cannot be parsed is an answer: the client gets it as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from disrouter.refusal import Decision, RefusalMatcher, is_refusal
from disrouter_sidecar.openai.dialect import ChoiceUpdate, Dialect
from disrouter_sidecar.openai.sse import EventReader
from disrouter_sidecar.openai.usage import Usage, usage_of

MAX_HELD_BYTES = 256 * 1024
"""Bytes of an undecided stream that are held back; one that goes on reasoning beyond them is relayed as an answer."""
MAX_PARSED_BYTES = 4 * 1024 * 1024
"""A longer whole reply is an answer unread: refusals are short, and parsing takes many times a reply's bytes."""


class StreamDecider:
    """Feed the body's bytes of one streamed reply, read the decision."""

    def __init__(self, dialect: Dialect, choices: int = 1) -> None:
        self.decision = Decision.UNDECIDED
        self.error: Mapping[str, Any] | None = None
        """The `error` object of a stream that failed before it decided."""
        self._dialect = dialect
        self._choices = choices
        self._matchers: dict[int, RefusalMatcher] = {}
        """Of the choices that were seen: a request may ask for very many."""
        self._refusals = 0
        self._usage: Usage | None = None
        self._pieces = 0
        self._events = EventReader()
        self._held = 0

    def feed(self, piece: bytes) -> Decision:
        """Take the next bytes of the body."""
        self._held += len(piece)
        self._read(self._events.feed(piece))
        if self.decision is Decision.UNDECIDED and self._held > MAX_HELD_BYTES:
            self.decision = Decision.ANSWER
        return self.decision

    def finish(self) -> Decision:
        """The body has ended: judge the choices that were seen. A stream without any is an answer."""
        self._read(self._events.finish())
        self._close()
        return self.decision

    @property
    def usage(self) -> Usage:
        """Tokens so far: as the stream reports them, else its pieces of text."""
        return self._usage or Usage(completion_tokens=self._pieces, estimated=True)

    def _read(self, payloads: Iterator[bytes]) -> None:
        """Read events up to the one that decides; later ones are not parsed."""
        while self.decision is Decision.UNDECIDED and self.error is None:
            payload = next(payloads, None)
            if payload is None:
                return
            self._read_event(payload)

    def _read_event(self, payload: bytes) -> None:
        if payload.strip() == b"[DONE]":
            self._close()
            return
        event = _loads(payload)
        self.error = self._dialect.error(event)
        self._usage = usage_of(event) or self._usage
        if self.error is None:
            for update in self._dialect.event(event):
                self._apply(update)

    def _apply(self, update: ChoiceUpdate) -> None:
        if update.answers or not 0 <= update.index < self._choices:
            self.decision = Decision.ANSWER
        if self.decision is not Decision.UNDECIDED:
            return
        self._pieces += bool(update.text)
        matcher = self._matchers.get(update.index)
        if matcher is None:
            matcher = self._matchers[update.index] = RefusalMatcher()
        before, decision = matcher.decision, matcher.feed(update.text)
        if update.ended:
            decision = matcher.finish(truncated=update.truncated)
        self._refusals += decision is Decision.REFUSE and before is not Decision.REFUSE
        if decision is Decision.ANSWER or self._refusals == self._choices:
            self.decision = decision

    def _close(self) -> None:
        if self.decision is not Decision.UNDECIDED or self.error is not None:
            return
        refusals = sum([matcher.finish() is Decision.REFUSE for matcher in self._matchers.values()])
        self.decision = Decision.REFUSE if self._matchers and refusals == len(self._matchers) else Decision.ANSWER


def decide_whole(dialect: Dialect, body: bytes) -> Decision:
    """The decision of a whole reply: refuse when it has choices and each of them refuses."""
    if len(body) > MAX_PARSED_BYTES or not _may_refuse(body):
        return Decision.ANSWER
    choices = list(dialect.whole(_loads(body)))
    refuses = all(not update.answers and is_refusal(update.text, truncated=update.truncated) for update in choices)
    return Decision.REFUSE if choices and refuses else Decision.ANSWER


def _may_refuse(body: bytes) -> bool:
    """False where no refusal can be in it: each holds "don", unless JSON spells its letters as escapes."""
    return b"don" in body.lower() or b"\\u00" in body


def usage_of_whole(body: bytes) -> Usage | None:
    """What a whole reply says it has used."""
    return usage_of(_loads(body))


def _loads(text: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
