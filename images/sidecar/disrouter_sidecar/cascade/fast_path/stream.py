"""One plain chat whose answer is streamed: relayed once its first letter answers, anything else handed over."""

from __future__ import annotations

from time import monotonic

from disrouter.names import HEADER_REQUEST_ID
from disrouter_sidecar.agents.attempt import EVENT_STREAM
from disrouter_sidecar.agents.circuit_breaker import AttemptGuard
from disrouter_sidecar.cascade.fast_path.first_events import answers
from disrouter_sidecar.cascade.fast_path.run import FastRun
from disrouter_sidecar.cascade.relay import break_off, head_of
from disrouter_sidecar.errors import UpstreamFailed
from disrouter_sidecar.http.client.reply import OutboundReply
from disrouter_sidecar.http.server.exchange import Exchange
from disrouter_sidecar.openai import CHAT


class FastStream(FastRun):
    """Reads the reply until it answers (`ports.BodyListener`), then hears of its end (`ports.ClientListener`)."""

    __slots__ = ("_exchange", "_guard", "_held", "_over", "_reply")

    streams = True
    _exchange: Exchange
    _guard: AttemptGuard

    def asked(self) -> None:
        """The engine is about to be asked."""
        self._reply: OutboundReply | None = None
        self._held = b""
        self._over = False
        """It was handed over, or it answers."""
        if self._plan.keep_alive:
            self._wire.remind(self._plan.keep_alive)

    # What the engine's connection calls.

    def replied(self, reply: OutboundReply) -> None:
        """`ConnectionListener`."""
        headers = reply.headers
        odd = reply.status != 200 or "content-encoding" in headers or "retry-after" in headers
        self._reply = reply
        if odd or not headers.get("content-type", "").startswith(EVENT_STREAM):
            self._leave(end=False)
        else:
            reply.pipe(self, self._plan.first[True])

    def feed(self, piece: bytes, end: bool) -> None:
        """`ports.BodyListener`: the first events."""
        reply = self._reply
        if self._over or reply is None:
            return
        self._held += piece
        decided = answers(self._held) if self._plan.decides else True
        if decided:
            self._commit(reply, end)
        elif end or decided is None:
            self._leave(end=end)
        else:
            self._wait(reply)

    def _wait(self, reply: OutboundReply) -> None:
        """For more events, within the time of the whole chain: somebody may send empty ones to no end."""
        left = self._began + self._plan.chain - monotonic()
        if left <= 0:
            self._leave(end=False)
        else:
            reply.patience(min(self._plan.idle, left))

    def broke(self, _: Exception) -> None:
        """`ports.BodyListener`: nobody has heard of the reply yet; the general path finds out for itself."""
        if not self._over:
            self._leave(end=False)

    def _leave(self, *, end: bool) -> None:
        """Hand over, and give back what was read of the reply."""
        self._over = True
        self._hand_over(ended=end)
        request, reply = self._request, self._reply
        if request is not None and reply is not None:
            reply.give_back(self._held, end=end)
            request.replied(reply)

    # What the client's connection calls, up to the answer.

    def silent(self) -> None:
        """The time of a comment has come: the general path sends it."""
        self._leave(end=False)

    # The answer.

    def _commit(self, reply: OutboundReply, end: bool) -> None:
        plan, wire, held, known = self._plan, self._wire, self._held, self._chat.head
        self._over, self._held = True, b""
        self._count_answer(monotonic())
        self._guard = plan.neighbours.breakers.admitted(plan.breaker, plan.guide.table.breaker)
        self._guard.committed()
        kind, _ = head_of(reply.headers.get("content-type"), None, None)
        head = f"{kind}{plan.response_lines}{HEADER_REQUEST_ID}: {self._number}\r\n"
        self._exchange = exchange = Exchange(wire, known)
        exchange.listener = self
        wire.begin(exchange)
        self.release()
        del self._chat  # a stream may last for minutes
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
