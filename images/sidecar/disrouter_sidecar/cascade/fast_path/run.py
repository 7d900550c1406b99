"""One plain chat: its answer is relayed at once, a refusal passed on to the next agent, anything else handed over."""

from __future__ import annotations

from functools import partial
from time import monotonic, time
from typing import TYPE_CHECKING, Protocol

from disrouter.errors import InvalidRequest
from disrouter.names import HEADER_AGENT, HEADER_REQUEST_ID
from disrouter_sidecar.agents.circuit_breaker import Breaker
from disrouter_sidecar.agents.outcomes import Refused
from disrouter_sidecar.cascade.decision_trail import tokens_text
from disrouter_sidecar.cascade.fast_path.hop import Hop, sent_to
from disrouter_sidecar.cascade.fast_path.plain_chat import PlainChat, Sent
from disrouter_sidecar.cascade.fast_path.plan import Plan
from disrouter_sidecar.cascade.head_start import HeadStart
from disrouter_sidecar.cascade.inbound_request import Call
from disrouter_sidecar.cascade.relay import head_of
from disrouter_sidecar.decision.verdict import ANSWER as ANSWERS
from disrouter_sidecar.decision.verdict import REFUSE as REFUSES
from disrouter_sidecar.decision.whole import WholeReply, decide_whole, says_something_else
from disrouter_sidecar.errors import Rejected, UpstreamFailed
from disrouter_sidecar.headers import Lines
from disrouter_sidecar.http.client.connection import OutboundConnection
from disrouter_sidecar.http.client.reply import OutboundReply
from disrouter_sidecar.http.client.request import OutboundRequest
from disrouter_sidecar.http.encode import status_line
from disrouter_sidecar.http.ports import ReplyListener
from disrouter_sidecar.http.server.exchange import Answering, Exchange
from disrouter_sidecar.http.server.exchange import Wire as ExchangeWire
from disrouter_sidecar.openai import CHAT
from disrouter_sidecar.openai.errors import JSON
from disrouter_sidecar.openai.query import Query, parse
from disrouter_sidecar.openai.usage import Usage
from disrouter_sidecar.telemetry.logs import hundredths, time_of
from disrouter_sidecar.telemetry.metrics import ANSWER

if TYPE_CHECKING:
    from disrouter_sidecar.cascade.fast_path.entry import FastPath

_OK = status_line(200)
_JSON_LINES, _ = head_of(JSON, None, None)
MAX_REPLY_BYTES = 16 * 1024
"""A larger reply is handed over: what waits for a client to read it is claimed there."""
_ANSWER = WholeReply(ANSWERS)


class Wire(ExchangeWire, Protocol):
    """The client's connection."""

    def begin(self, answering: Answering) -> None: ...

    def leave(self) -> None: ...


class FastRun:
    """Listens to the engine's connection, then perhaps to the next agent's; the client's waits for it (`Answering`)."""

    __slots__ = (
        "_answered", "_asked", "_began", "_chat", "_claimed", "_hop", "_number", "_path", "_plan", "_request", "_sent",
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
        self._began = began
        self._claimed = chat.held
        self._asked = now = monotonic()
        self._sent = Sent(
            path.upstream.pool, plan.origin, connection, chat.start, chat.asked, now, plan.first[self.streams]
        )
        self._hop: Hop | None = None
        """The next agent's part, once the engine has refused."""
        self._answered: float | None = None
        self._request: OutboundRequest | None = None
        """Waits for the reply in this one's place."""
        path.sidecar.request_memory.used += chat.held
        metrics = path.sidecar.metrics
        metrics.inflight += 1
        metrics.received.value += 1

    def ask(self) -> None:
        """Ask the engine."""
        self._begin()
        self._sent.ask(self)

    # What the agent's connection calls.

    def replied(self, reply: OutboundReply) -> None:
        """`ConnectionListener`: relay a whole answer, or ask the next agent where it is a refusal."""
        try:
            self._take(reply)
        except Exception as error:
            self._break_down(error)

    def _take(self, reply: OutboundReply) -> None:
        body = reply.whole()
        if body is not None and self._is_plain(reply, body):
            judged = self._judge(body)
            if judged.verdict is ANSWERS:
                self._relay(reply, body)
                return
            if judged.verdict is REFUSES and self._passes_on(reply, judged.usage):
                return
        self._hand_over()
        if self._request is not None:
            self._request.replied(reply)

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
        self._request = request = self._sent.hand_to(listener, self._plan.guide.table.timeouts.connect)
        return request

    def cut(self, _: Exception) -> bool:
        """No stream is under way."""
        return False

    # What a reply amounts to.

    def _is_plain(self, reply: OutboundReply, body: bytes) -> bool:
        """Whether there is nothing about it but its body to look at."""
        return not self._is_odd(reply) and len(body) <= MAX_REPLY_BYTES and reply.headers.get("content-type") == JSON

    def _is_odd(self, reply: OutboundReply) -> bool:
        """Whether its head alone says that the general path has to see it."""
        headers = reply.headers
        untold = self._hop is not None and HEADER_AGENT not in headers
        return untold or reply.status != 200 or "content-encoding" in headers or "retry-after" in headers

    def _judge(self, body: bytes) -> WholeReply:
        if self._hop is not None or not self._plan.decides or says_something_else(body):
            return _ANSWER
        return decide_whole(CHAT, body, self._chat.expectation)

    # The three ends: an answer, the next agent, the general path.

    def _relay(self, reply: OutboundReply, body: bytes) -> None:
        wire, hop, now = self._wire, self._hop, monotonic()
        lines = self._lines(reply, now)
        if hop is not None:
            body = hop.itemised(body)
        head = (
            f"{_OK}{_JSON_LINES}{lines}{HEADER_REQUEST_ID}: {self._number}\r\n"
            f"content-length: {len(body)}\r\n{wire.lines(self._chat.head)}\r\n"
        )
        wire.write(head.encode("latin-1") + body)
        self.complete = True
        reply.close()
        self._count_answer(now)
        breaker = self._breaker
        if breaker.failures:
            breaker.worked(probe=False)
        self._record("answer", body)
        wire.answered(self)

    def _lines(self, reply: OutboundReply, now: float) -> Lines:
        """Those that say who answers."""
        if self._hop is not None:
            return self._hop.answered(reply)
        plan = self._plan
        if plan.decision is None:
            return plan.response_lines
        before, behind = plan.decision
        return f"{plan.response_lines}{before}{hundredths(now - self._asked)}{behind}"

    def _count_answer(self, now: float) -> None:
        """What the general path counts when an agent answers."""
        metrics, plan, asked = self._path.sidecar.metrics, self._plan, self._asked
        self._path.ended(answered=True)
        self._answered = now
        plan.neighbours.retries.request(plan.guide.table.retries)
        metrics.overhead(asked - self._began)
        if self._hop is None:
            metrics.settled.value += 1
            metrics.decided(ANSWER, plan.scenario, now - asked)
            metrics.answered(len(plan.visited), plan.cost)

    def _record(self, outcome: str, end: bytes) -> None:
        """What it counts, remembers and logs at the end of an answer, whose last bytes these are."""
        sidecar, plan, number = self._path.sidecar, self._plan, self._number
        sidecar.metrics.inflight -= 1
        sidecar.metrics.ended(outcome)
        if self._hop is not None:
            sidecar.metrics.elsewhere -= 1
            facts = self._hop.facts(number, outcome, monotonic() - self._began, end, stream=self.streams)
            line = sidecar.request_log.log(CHAT.name, facts)
        else:
            line = self._line(outcome, end)
            sidecar.request_log.log_line(line)
        sidecar.decisions.remember(number, line, plan.guide.table.kept_decisions)

    def _line(self, outcome: str, end: bytes) -> bytes:
        return self._plan.lines[self.streams].line(
            time_of(time()),
            f'"{self._number}"',
            f'"{outcome}"',
            hundredths(monotonic() - self._began),
            hundredths((self._answered or 0.0) - self._asked),
            tokens_text(end),
        )

    @property
    def _breaker(self) -> Breaker:
        """Of the agent that is being asked."""
        return self._plan.breaker if self._hop is None else self._hop.next.breaker

    def _passes_on(self, reply: OutboundReply, usage: Usage | None) -> bool:
        """Ask the next agent, where it has a connection waiting; else nothing has happened."""
        plan, path, chat = self._plan, self._path, self._chat
        agent = plan.next
        if agent is None or agent.breaker.open_until is not None or self._query(chat.body()) is None:
            return False
        bearer = path.sidecar.dependencies.hops.bearer()
        sent = sent_to(agent, path.hops.pool, chat, bearer, self._left())
        if sent is None:
            return False
        reply.close(ending=True)
        if plan.breaker.failures:
            plan.breaker.worked(probe=False)
        self._hop = Hop(plan, agent, Refused(usage=usage), self._asked, path.sidecar.dependencies)
        self._sent = sent
        self._begin()
        sent.ask(self)
        return True

    def _left(self) -> float:
        """Seconds that are left of the whole way to an answer."""
        deadline = self._chat.deadline
        limit = self._plan.chain if deadline is None else min(self._plan.chain, deadline)
        return self._began + limit - monotonic()

    def _begin(self) -> None:
        """An agent is about to be asked."""

    def _hand_over(self, *, ended: bool = False) -> None:
        """Leave the request to the general path, whose `_request` gets the reply, unless it has ended there already.

        `ended`: the reply is read to its end, and its connection may serve another request already.
        """
        call, exchange = self._give_up()
        self._path.sidecar.answer(call, exchange, self._head_start(call))
        if self._request is None and not ended:
            self._sent.connection.abort()

    def _break_down(self, error: Exception) -> None:
        """A bug: the client hears of it, unless it has its answer."""
        if self._answered is not None or self.complete or self._request is not None:
            raise error
        call, exchange = self._give_up()
        if self._hop is None:
            self._path.sidecar.metrics.settled.value += 1
        self._sent.connection.abort()
        self._path.sidecar.failed(call, exchange, error)

    def _give_up(self) -> tuple[Call, Exchange]:
        """The request as the general path takes it; this one holds nothing of it any more."""
        path, chat = self._path, self._chat
        path.ended(answered=False)
        self.release()
        path.sidecar.metrics.inflight -= 1
        if self._hop is not None:
            path.sidecar.metrics.elsewhere -= 1
        claim = path.sidecar.request_memory.claim()
        claim(chat.held)  # has just been given back
        exchange = Exchange(self._wire, chat.head, claim)
        self._wire.begin(exchange)
        return Call(CHAT, chat.body(), chat.headers(), chat.request_id), exchange

    def _head_start(self, call: Call) -> HeadStart | None:
        """None where the text, which nobody has looked at yet, is not valid: the general path says so."""
        plan, hop, query = self._plan, self._hop, self._query(call.raw)
        if query is None:
            self._path.sidecar.metrics.settled.value += 1  # the general path counts nothing that is not valid
            return None
        context = plan.context(query, call.headers, call.request_id, self._chat.deadline)
        if hop is None:
            go_on = partial(plan.engine.go_on, served=plan.served, sent=self, decides=plan.decides)
            return HeadStart(context, self._began, self._asked, plan.breaker, go_on)
        hops, bounded = self._path.sidecar.dependencies.hops, self._sent.bounded
        next_agent = partial(hops.go_on, ahead=hop.next.ahead, sent=self, bounded=bounded)
        return HeadStart(context, self._began, self._asked, hop.next.breaker, next_agent, hop.refusal)

    def _query(self, body: bytes) -> Query | None:
        """The request, parsed with its text; None where that is not valid."""
        try:
            return parse(body, CHAT, self._plan.guide.table)
        except (Rejected, InvalidRequest):
            return None
