"""One plain chat at the local engine: its answer is relayed at once, anything else is handed over."""

from __future__ import annotations

from functools import partial
from time import monotonic, time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from disrouter.errors import InvalidRequest
from disrouter.names import HEADER_REQUEST_ID
from disrouter_sidecar.cascade.decision_trail import tokens_text
from disrouter_sidecar.cascade.fast_path.plan import Plan
from disrouter_sidecar.cascade.head_start import HeadStart
from disrouter_sidecar.cascade.inbound_request import Call
from disrouter_sidecar.cascade.relay import head_of
from disrouter_sidecar.decision.whole import says_something_else
from disrouter_sidecar.errors import Rejected, UpstreamFailed
from disrouter_sidecar.headers import Headers
from disrouter_sidecar.http.client.connection import OutboundConnection
from disrouter_sidecar.http.client.reply import OutboundReply
from disrouter_sidecar.http.client.request import OutboundRequest
from disrouter_sidecar.http.encode import status_line
from disrouter_sidecar.http.head import Head
from disrouter_sidecar.http.ports import ReplyListener
from disrouter_sidecar.http.server.exchange import Answering, Exchange
from disrouter_sidecar.http.server.exchange import Wire as ExchangeWire
from disrouter_sidecar.openai import CHAT
from disrouter_sidecar.openai.errors import JSON
from disrouter_sidecar.openai.query import parse
from disrouter_sidecar.telemetry.logs import hundredths, time_of
from disrouter_sidecar.telemetry.metrics import ANSWER

if TYPE_CHECKING:
    from disrouter_sidecar.cascade.fast_path.entry import FastPath

_OK = status_line(200)
_JSON_LINES, _ = head_of(JSON, None, None)
MAX_REPLY_BYTES = 16 * 1024
"""A larger reply is handed over: what waits for a client to read it is claimed there."""


class Wire(ExchangeWire, Protocol):
    """The client's connection."""

    def begin(self, answering: Answering) -> None: ...

    def leave(self) -> None: ...


class PlainChat(NamedTuple):
    """One request, and what the engine is asked."""

    head: Head
    """What it has in common with others."""
    values: Headers
    """Headers that it has for itself."""
    data: bytes
    """Head and body as they came."""
    size: int
    """Of the head."""
    request_id: str
    start: bytes
    """The head of the engine's request."""
    asked: bytes
    """Its body."""
    held: int
    """Bytes of memory that the request is reckoned to take."""
    stream: bool

    def headers(self) -> Headers:
        """All but the length."""
        return {**self.head.headers, **self.values}


class FastRun:
    """Listens to the engine's connection, and is what the client's connection waits for (`Answering`)."""

    __slots__ = (
        "_answered", "_asked", "_began", "_chat", "_claimed", "_connection", "_number", "_path", "_plan", "_request",
        "_wire", "complete",
    )  # fmt: skip

    streams = False

    def __init__(  # noqa: PLR0917
        self, path: FastPath, wire: Wire, plan: Plan, chat: PlainChat, connection: OutboundConnection, began: float
    ) -> None:
        """`connection` is about to be asked; the request came at `began`, by the sidecar's clock."""
        self.complete = False
        self._path = path
        self._wire = wire
        self._plan = plan
        self._chat = chat
        self._number = chat.request_id
        self._connection = connection
        self._began = began
        self._claimed = chat.held
        self._asked = monotonic()
        self._answered: float | None = None
        self._request: OutboundRequest | None = None
        """Waits for the reply in this one's place."""
        path.sidecar.request_memory.used += chat.held
        path.sidecar.metrics.inflight += 1

    def asked(self) -> None:
        """The engine is about to be asked."""

    # What the engine's connection calls.

    def replied(self, reply: OutboundReply) -> None:
        """`ConnectionListener`: relay a whole answer that begins like no refusal."""
        body = reply.whole()
        if body is None or not self._is_answer(reply, body):
            self._hand_over()
            if self._request is not None:
                self._request.replied(reply)
            return
        reply.close()
        self._relay(body)

    def failed(self, failure: UpstreamFailed) -> None:
        """`ConnectionListener`."""
        self._hand_over()
        if self._request is not None:
            self._request.failed(failure)

    def stale(self) -> None:
        """`ConnectionListener`."""
        self._hand_over()
        if self._request is not None:
            self._request.stale()

    # What the client's connection calls.

    def left(self) -> None:
        """The client has gone: the general path counts it and ends the generation. An answer was counted already."""
        if self.complete:
            return
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

    # What the general path calls.

    def hand_to(self, listener: ReplyListener) -> OutboundRequest:
        """`ports.SentRequest`."""
        path, chat, connection, timeouts = self._path, self._chat, self._connection, self._plan.guide.table.timeouts
        left = self._plan.first[self.streams] - (monotonic() - self._asked)
        pool = path.upstream.pool
        self._request = request = OutboundRequest(
            pool, self._plan.origin, chat.start, chat.asked, listener, timeouts.connect, left, connection
        )
        return request

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
            f"{_OK}{_JSON_LINES}{plan.response_lines}{HEADER_REQUEST_ID}: {self._number}\r\n"
            f"content-length: {len(body)}\r\n{wire.lines(chat.head)}\r\n"
        )
        wire.write(head.encode("latin-1") + body)
        self.complete = True
        self._count_answer(monotonic())
        if plan.breaker.failures:
            plan.breaker.worked(probe=False)
        self._record("answer", body)
        wire.answered(self)

    def _count_answer(self, now: float) -> None:
        """What the general path counts when an agent answers."""
        metrics, plan, asked = self._path.sidecar.metrics, self._plan, self._asked
        self._path.ended(answered=True)
        self._answered = now
        plan.neighbours.retries.request(plan.guide.table.retries)
        metrics.overhead(asked - self._began)
        metrics.decided(ANSWER, plan.scenario, now - asked)
        metrics.answered(0, plan.cost)

    def _record(self, outcome: str, end: bytes) -> None:
        """What it counts, remembers and logs at the end of an answer, whose last bytes these are."""
        sidecar, plan, number = self._path.sidecar, self._plan, self._number
        metrics = sidecar.metrics
        metrics.inflight -= 1
        metrics.ended(outcome)
        line = plan.lines[self.streams].line(
            time_of(time()),
            f'"{number}"',
            f'"{outcome}"',
            hundredths(monotonic() - self._began),
            hundredths((self._answered or 0.0) - self._asked),
            tokens_text(end),
        )
        sidecar.request_log.log_line(line)
        sidecar.decisions.remember(number, line, plan.guide.table.kept_decisions)

    def _hand_over(self, *, ended: bool = False) -> None:
        """Leave the request to the general path, whose `_request` gets the reply, unless it has ended there already.

        `ended`: the reply is read to its end, and its connection may serve another request already.
        """
        path, chat = self._path, self._chat
        path.ended(answered=False)
        self.release()
        path.sidecar.metrics.inflight -= 1
        claim = path.sidecar.request_memory.claim()
        claim(chat.held)  # has just been given back
        exchange = Exchange(self._wire, chat.head, claim)
        self._wire.begin(exchange)
        call = Call(CHAT, chat.data[chat.size :], chat.headers(), chat.request_id)
        path.sidecar.answer(call, exchange, self._head_start(call))
        if self._request is None and not ended:
            self._connection.abort()

    def _head_start(self, call: Call) -> HeadStart | None:
        """None where the text, which nobody has looked at yet, is not valid: the general path says so."""
        plan = self._plan
        try:
            query = parse(call.raw, CHAT, plan.guide.table)
        except (Rejected, InvalidRequest):
            return None
        guard = plan.neighbours.breakers.admitted(plan.breaker, plan.guide.table.breaker)
        go_on = partial(plan.engine.go_on, served=plan.served, sent=self, decides=plan.decides)
        context = plan.context(query, call.headers, call.request_id)
        return HeadStart(context, self._began, self._asked, guard, go_on)
