"""One attempt at one agent: an answer to relay, or a reason to go on to the next.

The own engine is asked in the client's own mode. A stream is held back until it decides, a whole reply is read and
inspected. Nothing reaches the client here, so everything that goes wrong can still be mended by another agent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from disrouter.names import HEADER_PATH
from disrouter.refusal import Decision
from disrouter.routes import Timeouts
from disrouter_sidecar.decision import StreamDecider, decide_whole
from disrouter_sidecar.errors import Reason, Refused, UpstreamFailed
from disrouter_sidecar.failures import reason_of, reason_of_event
from disrouter_sidecar.memory import Take
from disrouter_sidecar.ports import Reply

MAX_REPLY_BYTES = 16 * 1024 * 1024
"""Largest whole reply that is read into memory."""


@dataclass(frozen=True)
class Answer:
    """A reply to relay: the bytes received so far, and the rest unless it has `ended`."""

    reply: Reply
    held: bytes
    ended: bool


class Budget:
    """What a request may still use before its commit: seconds, and through `take` bytes of replies that are held.

    A whole reply's first byte is also its last, so only the chain's deadline bounds it; `first_byte` bounds streams.
    """

    def __init__(self, timeouts: Timeouts, clock: Callable[[], float], take: Take, *, stream: bool) -> None:
        self.timeouts = timeouts
        self.take = take
        self._stream = stream
        self._clock = clock
        self._deadline = clock() + timeouts.chain

    def first(self, agents: int = 1) -> float:
        """Seconds to wait for the first byte of an agent behind which `agents` may have to be asked in turn."""
        left = self._left()
        return min(left, self.timeouts.first_byte * agents) if self._stream else left

    def idle(self) -> float:
        """Seconds to wait for the next byte while nothing is committed."""
        return min(self._left(), self.timeouts.idle) if self._stream else self._left()

    def _left(self) -> float:
        left = self._deadline - self._clock()
        if left <= 0:
            raise UpstreamFailed(Reason.TIMEOUT, f"the chain's deadline of {self.timeouts.chain:g} s has passed")
        return left


async def judge_engine(reply: Reply, budget: Budget, *, decides: bool, last: bool, choices: int) -> Answer:
    """What the own engine's reply is worth. Raises Refused, UpstreamFailed or Rejected; it is then closed."""
    try:
        if not 200 <= reply.status < 300:
            body = await _read(reply, budget)
            reason = reason_of(reply.status, body)
            if reason is not None and not (last and reason is Reason.CONTEXT_LENGTH):
                raise UpstreamFailed(reason, f"status {reply.status}")
            return Answer(reply, body, ended=True)
        if not is_stream(reply):
            body = await _read(reply, budget)
            if decides and decide_whole(body) is Decision.REFUSE:
                raise Refused
            return Answer(reply, body, ended=True)
        if decides and "content-encoding" not in reply.headers:
            return await _decide(reply, budget, StreamDecider(choices))
        return await _first(reply, budget.first())
    except Refused:
        reply.close(ending=True)
        raise
    except BaseException:
        reply.close()
        raise


async def judge_agent(reply: Reply, budget: Budget, agents: int) -> Answer:
    """What another agent's sidecar said: its answer, or UpstreamFailed when it could not even try.

    A 5xx that carries a path comes from the end of the chain: those behind it were tried already.
    """
    try:
        reason = reason_of(reply.status, b"")
        if reason is not None and HEADER_PATH not in reply.headers:
            raise UpstreamFailed(reason, f"status {reply.status}")
        if is_stream(reply):
            return await _first(reply, budget.first(agents))
        return Answer(reply, await _read(reply, budget), ended=True)
    except BaseException:
        reply.close()
        raise


def is_stream(reply: Reply) -> bool:
    """Whether the body is a stream of events."""
    return reply.headers.get("content-type", "").startswith("text/event-stream")


async def _decide(reply: Reply, budget: Budget, decider: StreamDecider) -> Answer:
    held: list[bytes] = []
    seconds = budget.first()
    while True:
        piece = await reply.chunk(seconds)
        budget.take(len(piece))
        held.append(piece)
        decision = decider.feed(piece) if piece else decider.finish()
        if decider.error is not None:
            reason = reason_of_event(decider.error)
            if reason is not None:
                raise UpstreamFailed(reason, "its stream began with an error")
            decision = Decision.ANSWER
        if decision is Decision.REFUSE:
            raise Refused
        if decision is Decision.ANSWER:
            return Answer(reply, b"".join(held), ended=not piece)
        seconds = budget.idle()


async def _first(reply: Reply, seconds: float) -> Answer:
    """A stream that is passed on as it is, from its first byte."""
    piece = await reply.chunk(seconds)
    return Answer(reply, piece, ended=not piece)


async def _read(reply: Reply, budget: Budget) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while piece := await reply.chunk(budget.idle()):
        budget.take(len(piece))
        pieces.append(piece)
        size += len(piece)
        if size > MAX_REPLY_BYTES:
            raise UpstreamFailed(Reason.SERVER_ERROR, f"its reply is larger than {MAX_REPLY_BYTES} bytes")
    return b"".join(pieces)
