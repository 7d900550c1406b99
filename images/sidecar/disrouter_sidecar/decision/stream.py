"""Answer or refuse, from a stream's first events.

A request refuses only when every one of its choices does. Reasoning fields decide nothing; tool calls, audio and a
policy refusal of the provider are answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from disrouter.refusal import Decision, RefusalMatcher
from disrouter_sidecar.decision.lenient_json import loads, object_in
from disrouter_sidecar.decision.sse import EventReader
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
from disrouter_sidecar.openai.dialect import ChoiceUpdate, Dialect
from disrouter_sidecar.openai.usage import Usage, usage_of

MAX_HELD_BYTES = 8 * 1024 * 1024
"""Bytes of an undecided stream that are held back: two million tokens of reasoning. Beyond it cannot be decided."""


class Expectation(NamedTuple):
    """What the request says about the reply."""

    choices: int = 1
    refuses: bool = True
    """The agent may refuse; else whatever it says is an answer."""
    reasoning: bool = False
    """The prompt opens a reasoning block, so each choice begins inside it."""
    cut: bool = False
    """The client's stop strings may cut a refusal short, whatever reason is given for the end."""


PLAIN = Expectation()
"""One choice that may refuse."""


class StreamDecider:
    """Feed the body's bytes of one streamed reply, read the verdict."""

    def __init__(self, dialect: Dialect, expectation: Expectation = PLAIN) -> None:
        self.verdict = UNDECIDED
        self.error: Mapping[str, Any] | None = None
        """The `error` object of a stream that FAILED."""
        self._dialect = dialect
        self._expectation = expectation
        self._matchers: dict[int, RefusalMatcher] = {}
        """Of the choices that were seen: a request may ask for very many."""
        self._refusals = 0
        self._truncated = False
        """A choice that says nothing was cut off by a limit."""
        self._usage: Usage | None = None
        self._pieces = 0
        self._events = EventReader()
        self._held = 0

    def feed(self, piece: bytes) -> Verdict:
        """Take the next bytes of the body."""
        self._held += len(piece)
        self._read(self._events.feed(piece))
        if self.verdict is UNDECIDED and self._held > MAX_HELD_BYTES:
            self.verdict = UNDECIDABLE
        return self.verdict

    def finish(self) -> Verdict:
        """The body has ended: judge the choices that were seen. A stream without any is empty."""
        self._read(self._events.finish())
        self._close()
        return self.verdict

    @property
    def usage(self) -> Usage:
        """Tokens so far: as the stream reports them, else its pieces of text."""
        return self._usage or Usage(completion_tokens=self._pieces, estimated=True)

    def _read(self, payloads: Iterator[bytes]) -> None:
        """Read events up to the one that decides; later ones are not parsed."""
        while self.verdict is UNDECIDED:
            payload = next(payloads, None)
            if payload is None:
                return
            self._read_event(payload)

    def _read_event(self, payload: bytes) -> None:
        if payload.strip() == b"[DONE]":
            self._close()
            return
        typed_error = self._events.event == b"error"
        event = _object(payload, typed_error=typed_error)
        if event is None:
            self.verdict = UNDECIDABLE
            return
        self.error = self._dialect.error(event) or (event if typed_error else None)
        if self.error is not None:
            self.verdict = FAILED
            return
        self._usage = usage_of(event) or self._usage
        for update in self._dialect.event(event):
            self._apply(update)

    def _apply(self, update: ChoiceUpdate) -> None:
        if self.verdict is not UNDECIDED:
            return
        matcher = self._matcher(update.index)
        if update.answers or matcher is None:
            self.verdict = ANSWER
            return
        self._pieces += bool(update.text)
        before = matcher.decision
        decision = Decision.REFUSE if update.defers else matcher.feed(update.text)
        if update.defers:
            matcher.decision = decision
        if update.ended:
            decision = self._end(matcher, truncated=update.truncated)
        self._refusals += decision is Decision.REFUSE and before is not Decision.REFUSE
        if decision is Decision.ANSWER and matcher.said:
            self.verdict = ANSWER
        elif self._refusals == self._expectation.choices:
            self.verdict = REFUSE

    def _matcher(self, index: int) -> RefusalMatcher | None:
        """Of a choice, by whatever number the engine gives it; None beyond those that were asked for."""
        matcher = self._matchers.get(index)
        if matcher is None and len(self._matchers) < self._expectation.choices:
            expected = self._expectation
            matcher = RefusalMatcher(reasoning=expected.reasoning) if expected.refuses else _AnyWord()
            self._matchers[index] = matcher
        return matcher

    def _end(self, matcher: RefusalMatcher, *, truncated: bool) -> Decision:
        decision = matcher.finish(truncated=truncated or self._expectation.cut)
        self._truncated |= (truncated or self._expectation.cut) and not matcher.said
        return decision

    def _close(self) -> None:
        """Nothing more comes. An answer that was said has decided before, so what is left refuses or is silent."""
        if self.verdict is not UNDECIDED:
            return
        decisions = [self._end(matcher, truncated=False) for matcher in self._matchers.values()]
        if any(matcher.said for matcher in self._matchers.values() if matcher.decision is Decision.ANSWER):
            self.verdict = ANSWER
        elif Decision.REFUSE in decisions:
            self.verdict = REFUSE
        else:
            self.verdict = UNFINISHED if self._truncated else EMPTY


class _AnyWord(RefusalMatcher):
    """Of a choice that cannot refuse: its first word is an answer."""

    __slots__ = ()

    def feed(self, delta: str) -> Decision:
        """Blanks say nothing yet."""
        if delta and not delta.isspace():
            self.decision, self.said = Decision.ANSWER, True
        return self.decision

    def finish(self, *, truncated: bool = False) -> Decision:  # noqa: ARG002  as the matcher has it
        """Silent to the end, or decided before."""
        self.decision = Decision.ANSWER
        return self.decision


def _object(payload: bytes, *, typed_error: bool) -> Mapping[str, Any] | None:
    """An event's JSON object, empty for a value that is none; None where it cannot be read."""
    try:
        return object_in(loads(payload))
    except ValueError:
        return {"message": payload[:500].decode(errors="replace")} if typed_error else None
