"""One attempt at one agent: an answer to relay, or a reason to go on to the next.

The own engine is asked in the client's own mode. A stream is held back until it decides, a whole reply is read and
inspected. Nothing reaches the client here, so everything that goes wrong can still be mended by another agent.
"""

from __future__ import annotations

from typing import NamedTuple

from disrouter.errors import InvalidRequest
from disrouter.names import HEADER_PATH
from disrouter.refusal import Decision
from disrouter_sidecar.api.query import Query
from disrouter_sidecar.budget import Budget
from disrouter_sidecar.chain import LOOP, parse_path
from disrouter_sidecar.decision import StreamDecider, decide_whole, usage_of_whole
from disrouter_sidecar.errors import ChainEnded, Reason, Refused, UpstreamFailed
from disrouter_sidecar.failures import failure_of, reason_of, reason_of_event
from disrouter_sidecar.ports import Reply
from disrouter_sidecar.provider import error_in_shape
from disrouter_sidecar.replies import JSON

MAX_REPLY_BYTES = 16 * 1024 * 1024
"""Largest whole reply that is read into memory."""


class Answer(NamedTuple):
    """A reply to relay: the bytes received so far, and the rest unless it has `ended`."""

    reply: Reply
    held: bytes
    ended: bool
    content_type: str | None = None
    """Instead of the reply's own, where what is held is not what came."""


async def judge_engine(reply: Reply, budget: Budget, *, decides: bool, last: bool, query: Query) -> Answer:
    """What the own engine's reply is worth. Raises Refused, UpstreamFailed or Rejected; it is then closed."""
    try:
        if not 200 <= reply.status < 300:
            body = await read(reply, budget)
            reason = reason_of(reply.status, body)
            if reason is not None and not (last and reason is Reason.CONTEXT_LENGTH):
                raise failure_of(reply, reason)
            return Answer(reply, error_in_shape(reply.status, body), ended=True, content_type=JSON)
        if not is_stream(reply):
            body = await read(reply, budget)
            if decides and decide_whole(query.dialect, body) is Decision.REFUSE:
                raise Refused(usage=usage_of_whole(body))
            return Answer(reply, body, ended=True)
        if decides and "content-encoding" not in reply.headers:
            return await _decide(reply, budget, StreamDecider(query.dialect, query.choices))
        return await _first(reply, budget.first())
    except Refused:
        reply.close(ending=True)
        raise
    except BaseException:
        reply.close()
        raise


async def judge_agent(reply: Reply, budget: Budget, agents: int) -> Answer:
    """What another agent's sidecar said: its answer, or UpstreamFailed when it could not even try.

    A failure that carries a path comes from the end of the chain, where everybody was tried: ChainEnded. A loop (508)
    is relayed, or a wrong address in the table would never be seen.
    """
    try:
        reason = reason_of(reply.status, b"")
        ended = HEADER_PATH in reply.headers
        if reason is not None and not ended:
            raise failure_of(reply, reason)
        if is_stream(reply):
            return await _first(reply, budget.first(agents))
        told = Answer(reply, await read(reply, budget), ended=True)
        if reason is not None and reply.status != LOOP:
            raise ChainEnded(_path_of(reply), told)
        return told
    except BaseException:
        reply.close()
        raise


def _path_of(reply: Reply) -> tuple[str, ...]:
    try:
        return parse_path(reply.headers[HEADER_PATH])
    except InvalidRequest:
        return ()


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
            raise Refused(usage=decider.usage)
        if decision is Decision.ANSWER:
            return Answer(reply, b"".join(held), ended=not piece)
        seconds = budget.idle()


async def _first(reply: Reply, seconds: float) -> Answer:
    """A stream that is passed on as it is, from its first byte."""
    piece = await reply.chunk(seconds)
    return Answer(reply, piece, ended=not piece)


async def read(reply: Reply, budget: Budget) -> bytes:
    """A whole body. Raises UpstreamFailed, also where it is larger than any reply should be."""
    pieces: list[bytes] = []
    size = 0
    while piece := await reply.chunk(budget.idle()):
        budget.take(len(piece))
        pieces.append(piece)
        size += len(piece)
        if size > MAX_REPLY_BYTES:
            raise UpstreamFailed(Reason.SERVER_ERROR, f"its reply is larger than {MAX_REPLY_BYTES} bytes")
    return b"".join(pieces)
