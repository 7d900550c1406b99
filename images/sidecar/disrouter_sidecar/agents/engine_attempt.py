"""One attempt at the local engine: its reply is read until it is known for an answer, a refusal or no reply at all.

The engine is asked in the client's own mode. A stream is held back until it decides, a whole reply is read and judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from disrouter.terms import UndecidablePolicy
from disrouter_sidecar.agents.attempt import EVENT_STREAM, PIECE_BYTES, Attempt, is_stream
from disrouter_sidecar.agents.failures import ABOUT_REQUEST, failure_of, reason_of, reason_of_event
from disrouter_sidecar.agents.outcomes import Answered, AttemptListener, Outcome, Refused
from disrouter_sidecar.decision.encodings import Inflate, decoder_of
from disrouter_sidecar.decision.sse import looks_like_events
from disrouter_sidecar.decision.stream import Expectation, StreamDecider
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
from disrouter_sidecar.decision.whole import decide_whole, says_something_else
from disrouter_sidecar.errors import InstructionRejected, Reason, UpstreamFailed
from disrouter_sidecar.http.ports import Reply
from disrouter_sidecar.openai.errors import JSON
from disrouter_sidecar.openai.provider_errors import error_in_shape
from disrouter_sidecar.openai.usage import Usage
from disrouter_sidecar.request.context import RequestContext
from disrouter_sidecar.request.deadline import Budget

_SILENT = {EMPTY: Reason.EMPTY, UNFINISHED: Reason.UNFINISHED}
_OF_REQUEST = frozenset((Reason.CONTEXT_LENGTH, Reason.CAPABILITY))
"""What the last agent says about the request itself, the client gets to read."""


class Judging(NamedTuple):
    """How the local engine's reply is judged."""

    expectation: Expectation
    stream: bool = False
    """A stream was asked for."""
    last: bool = False
    """No agent comes after it: whatever it says is relayed."""
    instructed: bool = False
    """The request is not the client's own: the engine may reject the instruction."""


@lru_cache(maxsize=512)
def judging_of(
    choices: int,
    stream: bool = False,
    cut: bool = False,
    reasoning: bool = False,
    instructed: bool = False,
    *,
    refuses: bool = True,
    last: bool = False,
) -> Judging:
    """One value for all requests that are alike; see `Expectation` and `Judging`."""
    return Judging(Expectation(choices, refuses, reasoning, cut), stream, last, instructed)


class EngineObserver(Protocol):
    """Hears what replies tell of the engine."""

    def undecidable(self) -> None:
        """A reply cannot be judged."""
        ...

    def rejected(self, context: RequestContext, body: bytes) -> None:
        """The engine has answered with an error."""
        ...


class EngineAttempt(Attempt):
    """At the local engine. Its reply is read until it is known for an answer, a refusal or no reply at all.

    The last agent's reply is relayed whatever it is, but for failures of its own.
    """

    __slots__ = ("_context", "_decider", "_inflate", "_judged", "_judging", "_observer", "_sniffed")

    def __init__(
        self,
        listener: AttemptListener,
        budget: Budget,
        context: RequestContext,
        judging: Judging,
        observer: EngineObserver,
    ) -> None:
        super().__init__(listener, budget)
        self._context = context
        self._judging = judging
        self._observer = observer
        self._judged = judging.expectation.refuses or not judging.last
        """Whether the reply is looked at."""
        self._decider: StreamDecider | None = None
        self._inflate: Inflate | None = None
        self._sniffed: bytes | None = None
        """First plain bytes of a reply that may be a stream under another name; None once that is known."""

    def _begin(self, reply: Reply) -> float:
        if not 200 <= reply.status < 300:
            return self.budget.idle()
        if self._judged and "content-encoding" in reply.headers:
            self._prepare(reply.headers["content-encoding"])
        if is_stream(reply):
            self._begin_stream()
            return self.budget.first()
        if self._judging.stream:
            self._sniffed = b""
        return self.budget.idle()

    def _begin_stream(self) -> None:
        self._whole = False
        if self._judged:
            self._decider = StreamDecider(self._context.query.dialect, self._judging.expectation)

    def _prepare(self, encoding: str) -> None:
        """To read what is encoded. What nobody knows stays unread."""
        try:
            self._inflate = decoder_of(encoding)
        except ValueError as error:
            self._undecidable(str(error))
            self._judged = False

    def _read(self, reply: Reply, piece: bytes, end: bool) -> Outcome | None:
        if self._sniffed is not None:
            return self._sniff(reply, piece, end)
        return (
            super()._read(reply, piece, end)
            if self._whole
            else self._read_stream(reply, piece, self._plain(piece), end)
        )

    def _sniff(self, reply: Reply, piece: bytes, end: bool) -> Outcome | None:
        """Find out whether the body is a stream of events, though its media type says otherwise."""
        plain = self._sniffed = (self._sniffed or b"") + self._plain(piece)
        streams = looks_like_events(plain)
        if streams is None and not end:
            self._hold(piece)
            return None
        self._sniffed = None
        if not streams:
            return super()._read(reply, piece, end)
        self._begin_stream()
        return self._read_stream(reply, piece, plain, end)

    def _read_stream(self, reply: Reply, piece: bytes, plain: bytes, end: bool) -> Outcome | None:
        """`plain` is what has not been read yet, without its encoding."""
        decider = self._decider
        if decider is None:
            return self._answer(reply, piece, end)
        verdict = decider.feed(plain)
        if end and verdict is UNDECIDED:
            verdict = decider.finish()
        if verdict is UNDECIDED:
            self._hold(piece)
            return None
        refused = None if verdict is ANSWER else self._settle(verdict, decider.error, decider.usage)
        return refused or self._answer(reply, piece, end)

    def _answer(self, reply: Reply, piece: bytes, end: bool) -> Answered:
        return Answered(reply, self._joined(piece), end, content_type=None if is_stream(reply) else EVENT_STREAM)

    def _hold(self, piece: bytes) -> None:
        self.budget.claim(len(piece) + PIECE_BYTES)
        self._held.append(piece)

    def _plain(self, piece: bytes) -> bytes:
        if self._inflate is None:
            return piece
        try:
            return self._inflate.feed(piece)
        except ValueError as error:
            self._inflate = None
            self._undecidable(str(error))
            self._decider = None
            return piece

    def _settle(self, verdict: Verdict, error: Mapping[str, Any] | None, usage: Usage | None) -> Refused | None:
        """A refusal; None where the reply is relayed all the same, as the last agent's is. Raises UpstreamFailed."""
        if verdict is REFUSE:
            return Refused(usage=usage)
        if verdict is FAILED and error is not None:
            reason = reason_of_event(error)
            if reason is not None and not self._judging.last:
                raise UpstreamFailed(reason, "its reply is an error")
        elif verdict is UNDECIDABLE:
            self._undecidable("its reply cannot be read")
        elif verdict in _SILENT and not self._judging.last:
            raise UpstreamFailed(_SILENT[verdict], "its reply says nothing")
        return None

    def _undecidable(self, why: str) -> None:
        """Raises UpstreamFailed where the policy is to ask the next agent."""
        self._observer.undecidable()
        forward = self._context.table.undecidable is UndecidablePolicy.FORWARD
        if forward and not self._judging.last:
            raise UpstreamFailed(Reason.UNDECIDABLE, why)

    def _evaluate(self, reply: Reply, body: bytes) -> Outcome:
        if not 200 <= reply.status < 300:
            return self._evaluate_error(reply, body)
        refused = self._judge(reply, body) if self._judged and not says_something_else(body) else None
        return refused or Answered(reply, body, ended=True)

    def _judge(self, reply: Reply, body: bytes) -> Refused | None:
        """A refusal; None where the reply is relayed. Raises UpstreamFailed."""
        try:
            plain = self._undone(reply, body)
        except ValueError as error:
            self._undecidable(str(error))
            return None
        decided = decide_whole(self._context.query.dialect, plain, self._judging.expectation)
        return self._settle(decided.verdict, decided.error, decided.usage)

    def _evaluate_error(self, reply: Reply, body: bytes) -> Answered:
        judging = self._judging
        try:
            plain = self._undone(reply, body)
        except ValueError:
            plain = b""
        self._observer.rejected(self._context, plain)
        reason = reason_of(reply.status, plain)
        if reason is None and judging.instructed and reply.status in ABOUT_REQUEST:
            raise InstructionRejected(Reason.REJECTED, f"status {reply.status}")
        if reason is not None and not (judging.last and reason in _OF_REQUEST):
            raise failure_of(reply, reason)
        shaped = error_in_shape(reply.status, plain, self._context.query.dialect)
        return Answered(reply, shaped, ended=True, content_type=JSON, plain=True)

    def _undone(self, reply: Reply, body: bytes) -> bytes:
        """The body without its encoding. Raises ValueError where that cannot be undone."""
        encoding = reply.headers.get("content-encoding")
        decoder = None if encoding is None else decoder_of(encoding)
        if decoder is None:
            return body
        plain = decoder.feed(body)
        self.budget.claim(len(plain))
        return plain
