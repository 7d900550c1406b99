"""One plain chat whose answer is streamed: it is relayed from where it answers, or passed on, or handed over."""

from __future__ import annotations

from time import monotonic

from disrouter.names import HEADER_REQUEST_ID
from disrouter_sidecar.agents.attempt import EVENT_STREAM
from disrouter_sidecar.agents.circuit_breaker import AttemptGuard
from disrouter_sidecar.cascade.fast_path.first_events import FirstEvents
from disrouter_sidecar.cascade.fast_path.run import MAX_REPLY_BYTES, FastRun
from disrouter_sidecar.cascade.relay import break_off, head_of
from disrouter_sidecar.decision.verdict import ANSWER, REFUSE, UNDECIDED
from disrouter_sidecar.errors import UpstreamFailed
from disrouter_sidecar.http.client.reply import OutboundReply
from disrouter_sidecar.http.server.exchange import Exchange
from disrouter_sidecar.openai import CHAT


class FastStream(FastRun):
    """Reads the reply until it answers (`ports.BodyListener`), then hears of its end (`ports.ClientListener`)."""

    __slots__ = ("_events", "_exchange", "_guard", "_over", "_reply")

    streams = True
    _exchange: Exchange
    _guard: AttemptGuard

    def ask(self) -> None:
        """Ask the engine."""
        if self._plan.keep_alive:
            self._wire.remind(self._plan.keep_alive)
        super().ask()

    def _begin(self) -> None:
        """Of one reply."""
        self._reply: OutboundReply | None = None
        self._events = FirstEvents(self._chat.expectation)
        self._over = False
        """It was handed over, or it answers."""

    # What the agent's connection calls.

    def _take(self, reply: OutboundReply) -> None:
        self._reply = reply
        if self._is_odd(reply) or not reply.headers.get("content-type", "").startswith(EVENT_STREAM):
            self._leave(end=False)
        else:
            reply.pipe(self, max(min(self._sent.first, self._left()), 0.0))

    def feed(self, piece: bytes, end: bool) -> None:
        """`ports.BodyListener`: the first events."""
        if self._over or self._reply is None:
            return
        try:
            self._read(self._reply, piece, end)
        except Exception as error:
            self._break_down(error)

    def _read(self, reply: OutboundReply, piece: bytes, end: bool) -> None:
        if self._hop is not None or not self._plan.decides:
            self._commit(reply, piece, end)
            return
        events = self._events
        verdict = events.feed(piece)
        if verdict is ANSWER:
            self._commit(reply, events.held, end)
        elif verdict is REFUSE and self._passes_on(reply, events.usage):
            return
        elif end or verdict is not UNDECIDED or len(events.held) > MAX_REPLY_BYTES:
            self._leave(end=end)
        else:
            self._wait(reply)

    def _wait(self, reply: OutboundReply) -> None:
        """For more events, within the time of the whole chain: somebody may send empty ones to no end."""
        left = self._left()
        if left <= 0:
            self._leave(end=False)
        else:
            reply.patience(min(self._plan.idle, left))

    def broke(self, _: Exception) -> None:
        """`ports.BodyListener`: nobody has heard of the reply yet; the general path finds out for itself."""
        if not self._over and self._reply is not None:
            self._leave(end=False)

    def _leave(self, *, end: bool) -> None:
        """Hand over, and give back what was read of the reply."""
        self._over = True
        self._hand_over(ended=end)
        request, reply = self._request, self._reply
        if request is not None and reply is not None:
            reply.give_back(self._events.held, end=end)
            request.replied(reply)

    # What the client's connection calls, up to the answer.

    def silent(self) -> None:
        """The time of a comment has come: the general path sends it."""
        self._leave(end=False)

    # The answer.

    def _commit(self, reply: OutboundReply, held: bytes, end: bool) -> None:
        plan, wire, known = self._plan, self._wire, self._chat.head
        now = monotonic()
        lines = self._lines(reply, now)
        self._over = True
        del self._events
        self._count_answer(now)
        self._guard = plan.neighbours.breakers.admitted(self._breaker, plan.guide.table.breaker)
        self._guard.committed()
        kind, _ = head_of(reply.headers.get("content-type"), None, None)
        head = f"{kind}{lines}{HEADER_REQUEST_ID}: {self._number}\r\n"
        self._exchange = exchange = Exchange(wire, known)
        exchange.listener = self
        wire.begin(exchange)
        self.release()
        del self._chat, self._sent  # a stream may last for minutes
        if end:
            exchange.put(200, head, held, streamed=True)
            exchange.last = held
            self.relayed(None)
            return
        reply.forget()
        exchange.begin(200, head, held, reply, plan.idle)

    def relayed(self, failure: Exception | None) -> None:
        """`ports.ClientListener`."""
        outcome = "answer"
        if isinstance(failure, UpstreamFailed):
            outcome = f"broken_{failure.reason}"
            break_off(None, self._exchange, failure, CHAT)
        self._guard.end(failure)
        self._close(outcome)
        self._exchange.done()

    def left(self) -> None:
        """The client has gone."""
        if self._answered is None:
            super().left()
            return
        self._guard.release()
        self._close("client_gone")

    def _close(self, outcome: str) -> None:
        if self._reply is not None:
            self._reply.close()
        self._record(outcome, self._exchange.last)
