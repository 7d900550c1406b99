"""One plain chat at the local engine: its answer is relayed at once, anything else is handed over."""

from __future__ import annotations

from time import monotonic, time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from disrouter.names import HEADER_REQUEST_ID
from disrouter_sidecar.cascade.decision_trail import tokens_at_end
from disrouter_sidecar.decision.whole import says_something_else
from disrouter_sidecar.errors import UpstreamFailed
from disrouter_sidecar.fast_path.plan import Plan
from disrouter_sidecar.headers import Headers, Lines
from disrouter_sidecar.http.client.connection import OutboundConnection
from disrouter_sidecar.http.client.reply import OutboundReply
from disrouter_sidecar.http.client.request import OutboundRequest, SentRequest
from disrouter_sidecar.http.head import Head
from disrouter_sidecar.http.server.exchange import Answering
from disrouter_sidecar.openai.errors import JSON
from disrouter_sidecar.telemetry.logs import milliseconds, time_of
from disrouter_sidecar.telemetry.metrics import ANSWER

if TYPE_CHECKING:
    from disrouter_sidecar.fast_path.entry import FastPath

MAX_REPLY_BYTES = 16 * 1024
"""A larger reply is handed over: what waits for a client to read it is claimed there."""


class Wire(Protocol):
    """The client's connection."""

    def begin(self, answering: Answering) -> None: ...

    def hand_over(self, head: Head, size: int, body: bytes) -> None: ...

    def write(self, data: bytes, /) -> None: ...

    def lines(self, head: Head) -> Lines: ...

    def answered(self, exchange: Answering) -> None: ...

    def leave(self) -> None: ...


class PlainHead(NamedTuple):
    """The head of a request: what it has in common with others, and what not."""

    known: Head
    values: Headers
    size: int
    """In bytes."""

    def headers(self) -> Headers:
        """All but the length."""
        return {**self.known.headers, **self.values}


class PlainChat(NamedTuple):
    """One request, and what the engine is asked."""

    head: PlainHead
    request_id: str
    body: bytes
    start: bytes
    """The head of the engine's request."""
    asked: bytes
    """Its body."""
    size: int
    """Bytes of memory that the request is reckoned to take."""


class FastRun:
    """Listens to the engine's connection, and is what the client's connection waits for (`Answering`)."""

    __slots__ = ("_asked", "_began", "_chat", "_claimed", "_connection", "_path", "_plan", "_wire", "complete")

    def __init__(  # noqa: PLR0917
        self, path: FastPath, wire: Wire, plan: Plan, chat: PlainChat, connection: OutboundConnection, began: float
    ) -> None:
        """`connection` is about to be asked; the request came at `began`, by the sidecar's clock."""
        self.complete = False
        self._path = path
        self._wire = wire
        self._plan = plan
        self._chat = chat
        self._connection = connection
        self._began = began
        self._claimed = chat.size
        self._asked = monotonic()
        path.sidecar.request_memory.used += chat.size
        path.sidecar.metrics.inflight += 1

    # What the engine's connection calls.

    def replied(self, reply: OutboundReply) -> None:
        """`ConnectionListener`: relay a whole answer that begins like no refusal."""
        body = reply.whole()
        if body is None or not self._is_answer(reply, body):
            request = self._hand_over()
            if request is not None:
                request.replied(reply)
            return
        reply.close()
        self._relay(body)

    def failed(self, failure: UpstreamFailed) -> None:
        """`ConnectionListener`."""
        request = self._hand_over()
        if request is not None:
            request.failed(failure)

    def stale(self) -> None:
        """`ConnectionListener`."""
        request = self._hand_over()
        if request is not None:
            request.stale()

    # What the client's connection calls.

    def left(self) -> None:
        """The client has gone: the general path counts it and ends the generation."""
        self._hand_over()
        self._wire.leave()

    def release(self) -> None:
        """Give back what the request held."""
        self._path.sidecar.request_memory.used -= self._claimed
        self._claimed = 0

    def pause(self) -> None:
        """Nothing is written before the answer."""

    def resume(self) -> None:
        """Nor held back."""

    def silent(self) -> None:
        """Whole answers have no comments before them."""

    def cut(self, _: Exception) -> bool:
        """No stream is under way."""
        return False

    # The two ends.

    def _is_answer(self, reply: OutboundReply, body: bytes) -> bool:
        headers = reply.headers
        if reply.status != 200 or len(body) > MAX_REPLY_BYTES or "content-encoding" in headers:
            return False
        return (
            headers.get("content-type") == JSON
            and "retry-after" not in headers
            and (not self._plan.decides or says_something_else(body))
        )

    def _relay(self, body: bytes) -> None:
        plan, wire, chat = self._plan, self._wire, self._chat
        head = (
            f"{plan.response_start}{chat.request_id}\r\n"
            f"content-length: {len(body)}\r\n{wire.lines(chat.head.known)}\r\n"
        )
        wire.write(head.encode("latin-1") + body)
        self.complete = True
        self._record(body, monotonic())
        wire.answered(self)

    def _record(self, body: bytes, now: float) -> None:
        """What the general path counts, remembers and logs of an answer."""
        sidecar, plan, asked = self._path.sidecar, self._plan, self._asked
        metrics, breaker, number = sidecar.metrics, plan.breaker, self._chat.request_id
        if breaker.failures:
            breaker.worked(probe=False)
        sidecar.dependencies.neighbours.retries.request(plan.guide.table.retries)
        metrics.inflight -= 1
        metrics.overhead(asked - self._began)
        metrics.decided(ANSWER, plan.scenario, now - asked)
        metrics.answered(0, plan.cost)
        metrics.ended("answer")
        tokens = "".join([f',"{kind}":{count}' for kind, count in tokens_at_end(body).items()])
        line = plan.line.line(
            time_of(time()).encode(),
            b'"%b"' % number.encode(),
            b"%r" % milliseconds(now - self._began),
            b"%r" % milliseconds(now - asked),
            tokens.encode(),
        )
        sidecar.request_log.log_line(line)
        sidecar.decisions.remember(number, line, sidecar.kept_decisions())

    def _hand_over(self) -> OutboundRequest | None:
        """Have the general path serve the request from its beginning; what waits for the reply there, if anything."""
        upstream, chat = self._path.upstream, self._chat
        self.release()
        self._path.sidecar.metrics.inflight -= 1
        sent = upstream.sent = SentRequest(self._connection, chat.start, chat.asked)
        try:
            with self._path.clock.at(self._began):
                self._wire.hand_over(_with_id(chat), chat.head.size, chat.body)
        finally:
            upstream.sent = None
        sent.drop()
        return sent.request


def _with_id(chat: PlainChat) -> Head:
    """The head as the general path is to read it: the engine was asked by this id."""
    headers = {**chat.head.headers(), HEADER_REQUEST_ID: chat.request_id}
    return chat.head.known._replace(headers=headers, length=len(chat.body))
