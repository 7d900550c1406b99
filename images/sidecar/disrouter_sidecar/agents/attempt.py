"""One attempt at one agent: an answer to relay, or the reason to ask the next agent.

Nothing is sent to the client here, so another agent can still answer after any failure. Everything runs by callback
from the agent's socket: no task has to wait.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

from disrouter.errors import InvalidRequest
from disrouter.names import HEADER_PATH
from disrouter_sidecar.agents.failures import failure_of, reason_of
from disrouter_sidecar.agents.outcomes import Answered, AttemptListener, Exhausted, Outcome, Refused, outcome_of
from disrouter_sidecar.errors import Reason, Rejected
from disrouter_sidecar.headers import Headers, Lines
from disrouter_sidecar.http.ports import PendingRequest, Reply, SentRequest, Upstream
from disrouter_sidecar.request.context import RequestContext
from disrouter_sidecar.request.deadline import Budget
from disrouter_sidecar.request.itinerary import LOOP, parse_path

MAX_REPLY_BYTES = 16 * 1024 * 1024
"""Largest whole reply that is read into memory."""
_TOO_LARGE = (
    f"the answer is larger than {MAX_REPLY_BYTES} bytes; ask for fewer choices, tokens or logprobs, or for a stream"
)
"""Another agent's answer would be as large, so none is asked, and this is no failure of the agent."""
EVENT_STREAM = "text/event-stream"
PIECE_BYTES = 64
"""What a piece that is held takes beside its bytes."""


class AttemptContext(AttemptListener, Protocol):
    """The request that an attempt belongs to, and its listener."""

    @property
    def context(self) -> RequestContext: ...

    @property
    def budget(self) -> Budget: ...

    def trace(self) -> Headers:
        """The trace context to send to the agent."""
        ...

    def weighed(self, refusal_probability: float, competence: float, threshold: float) -> None:
        """The local engine's decision is made from these."""
        ...


class Attempt:
    """Listens to an agent (`ports.ReplyListener`) and reads its reply (`ports.BodyListener`) until it is decided.

    This base class reads the whole reply. It is the answer unless its status says that the agent failed.
    """

    __slots__ = ("_held", "_listener", "_over", "_pending", "_reply", "_size", "_whole", "budget")

    def __init__(self, listener: AttemptListener, budget: Budget) -> None:
        self.budget = budget
        self._listener = listener
        self._pending: PendingRequest | None = None
        self._reply: Reply | None = None
        self._whole = True
        """The reply is decided at its end, not before."""
        self._held: list[bytes] = []
        self._size = 0
        self._over = False

    def ask(self, upstream: Upstream, url: str, head: Lines, body: bytes, agents: int = 1) -> None:
        """Send the request; up to `agents` agents may be asked in turn behind it. Raises UpstreamFailed."""
        connect, first = self.budget.waits(agents)
        self._pending = upstream.send(url, head, body, self, connect=connect, first=first)

    def take(self, sent: SentRequest) -> None:
        """Get the reply to what was asked already."""
        self._pending = sent.hand_to(self)

    def cancel(self) -> None:
        """The client has left: close everything, and call the listener no more."""
        self._over = True
        if self._pending is not None:
            self._pending.cancel()
        if self._reply is not None:
            self._reply.close()
        self._release()

    def replied(self, reply: Reply) -> None:
        """`ports.ReplyListener`."""
        self._pending, self._reply = None, reply
        try:
            reply.pipe(self, self._begin(reply))
        except Exception as error:
            self._end(outcome_of(error))

    def feed(self, piece: bytes, end: bool) -> None:
        """`ports.BodyListener`."""
        reply = self._reply
        if self._over or reply is None:
            return
        try:
            outcome = self._read(reply, piece, end)
            if outcome is None:
                reply.patience(self.budget.idle())
                return
        except Exception as error:
            self._end(outcome_of(error))  # no name holds it here: its traceback leads to this frame
            return
        self._end(outcome)

    def broke(self, failure: Exception) -> None:
        """`ports.BodyListener`."""
        self._end(outcome_of(failure))

    def failed(self, failure: Exception) -> None:
        """`ports.ReplyListener`."""
        self._end(outcome_of(failure))

    def _end(self, outcome: Outcome) -> None:
        """Tell the listener, once. A refusal's stream is about to end by itself."""
        if self._over:
            return
        self._over = True
        if self._reply is not None and not isinstance(outcome, Answered):
            self._reply.close(ending=isinstance(outcome, Refused))
        listener = self._listener
        self._release()
        listener.ended(outcome)

    def _release(self) -> None:
        """Drop every reference to what refers to this attempt, so that no cycle is left for the collector."""
        self._pending = self._reply = None
        del self._listener

    def _begin(self, reply: Reply) -> float:  # noqa: ARG002  subclasses use it
        """Look at the head; returns the seconds to wait for the next bytes. Raises what ends the attempt."""
        return self.budget.idle()

    def _read(self, reply: Reply, piece: bytes, end: bool) -> Outcome | None:
        """Read the next bytes; returns the outcome once the reply is decided. Raises what else ends the attempt."""
        self.budget.claim(len(piece) + PIECE_BYTES)
        self._size += len(piece)
        if self._size > MAX_REPLY_BYTES:
            raise Rejected(400, "reply_too_large", _TOO_LARGE)
        if not end:
            self._held.append(piece)
            return None
        return self._evaluate(reply, self._joined(piece))

    def _joined(self, piece: bytes) -> bytes:
        """What is held, and this piece behind it."""
        return piece if not self._held else b"".join((*self._held, piece))

    def _evaluate(self, reply: Reply, body: bytes) -> Outcome:
        """What a whole reply amounts to. Raises what else ends the attempt."""
        reason = reason_of(reply.status, body)
        if reason is not None:
            raise failure_of(reply, reason)
        return Answered(reply, body, ended=True)


class AgentAttempt(Attempt):
    """At another agent's sidecar: its answer, or UpstreamFailed when it could not even try.

    A failure that carries a path means that every agent of the chain was tried: Exhausted. A loop (508) is relayed,
    or a wrong address in the route table would never be noticed.
    """

    __slots__ = ("_agents", "_reason")

    def __init__(self, listener: AttemptListener, budget: Budget, agents: int) -> None:
        super().__init__(listener, budget)
        self._agents = agents
        self._reason: Reason | None = None

    def _begin(self, reply: Reply) -> float:
        self._reason = reason = reason_of(reply.status, b"")
        if reason is not None and HEADER_PATH not in reply.headers:
            raise failure_of(reply, reason)
        self._whole = not is_stream(reply)
        return self.budget.idle() if self._whole else self.budget.first(self._agents)

    def _read(self, reply: Reply, piece: bytes, end: bool) -> Outcome | None:
        return super()._read(reply, piece, end) if self._whole else Answered(reply, piece, end)

    def _evaluate(self, reply: Reply, body: bytes) -> Outcome:
        answer = Answered(reply, body, ended=True)
        if self._reason is not None and reply.status != LOOP:
            return Exhausted(_path_of(reply), answer)
        return answer


def _path_of(reply: Reply) -> tuple[str, ...]:
    try:
        return parse_path(reply.headers[HEADER_PATH])
    except InvalidRequest:
        return ()


def is_stream(reply: Reply) -> bool:
    """Whether the body is a stream of events, by its media type."""
    return is_event_stream(reply.headers.get("content-type", ""))


@lru_cache(maxsize=64)
def is_event_stream(kind: str) -> bool:
    """Whether this media type is that of events, with or without parameters."""
    return kind.lstrip()[: len(EVENT_STREAM)].lower() == EVENT_STREAM
