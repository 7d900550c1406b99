"""One client's connection: its requests in order, its deadlines, its errors and its end.

Requests that come ahead of their turn wait, bounded in number and bytes; the socket is read on meanwhile, because that
is how a client that leaves is noticed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import cast

from disrouter.names import HEADER_PATH
from disrouter_sidecar.errors import Reason, Rejected, UpstreamFailed
from disrouter_sidecar.headers import Headers, Lines
from disrouter_sidecar.http.deadline import Deadline
from disrouter_sidecar.http.encode import CONTINUE
from disrouter_sidecar.http.head import Head
from disrouter_sidecar.http.memory_limits import MemoryClaim
from disrouter_sidecar.http.ports import Request
from disrouter_sidecar.http.server.error_replies import send_error
from disrouter_sidecar.http.server.exchange import Answering, Exchange
from disrouter_sidecar.http.server.request_parser import RequestReader
from disrouter_sidecar.http.server.site import BODY, HEAD, IDLE, REFUSED, Incoming, Refusal, Site

_UNREAD = Head("GET", "/", {}, old=False, keep_alive=False, length=0, wants_continue=False)
"""Stands for the head of a request that was refused while it was read."""
_WAITING_BYTES = 1024
"""What a request takes that waits for its turn, without the bytes of its head and body."""
_log = logging.getLogger(__name__)


class ClientConnection(asyncio.Protocol):
    """Reads requests, has one answered at a time, and is the `Wire` of that answer."""

    __slots__ = (
        "_client", "_closes", "_deadline", "_excess", "_exchange", "_head", "_head_claim", "_incoming", "_late",
        "_loop", "_moved", "_over", "_patience", "_phase", "_quiet", "_reader", "_ready", "_serving", "_site", "_stall",
        "_task", "_unread", "_waiting", "full", "gone", "transport", "write",
    )  # fmt: skip

    transport: asyncio.Transport
    write: Callable[[bytes], None]
    """To the client, with whatever else is written in this turn of the loop."""

    def __init__(self, site: Site, loop: asyncio.AbstractEventLoop) -> None:
        self.gone = False
        self.full = False
        self._client = False
        """Its last answer was for a client, not for another agent's sidecar."""
        self._closes = False
        """The answer that is under way is the last."""
        self._over = False
        """No further request is answered."""
        self._site = site
        self._loop = loop
        self._reader = RequestReader(site.limits, self)
        self._deadline = Deadline(loop, self._expired)
        self._stall: Deadline | None = None
        """For a client that does not read, once there is cause for it."""
        self._quiet: Deadline | None = None
        """For comments to a client that waits for a stream."""
        self._waiting = 0
        """Bytes that waited for it when that was looked at last."""
        self._phase = IDLE
        self._patience: float | None = None
        """Seconds that the client has for the current phase, from its first bytes."""
        self._moved = False
        """The phase has changed with these bytes."""
        self._excess = False
        """There are too many clients already."""
        self._head_claim: MemoryClaim | None = None
        """For a large head that is not complete."""
        self._incoming: Incoming | None = None
        self._head = _UNREAD
        """Of the request that is being read, once it is complete."""
        self._ready: deque[Incoming | Refusal] | None = None
        """What waits for its turn; None where nothing ever had to."""
        self._serving = False
        self._unread = False
        """So many wait that no more is read."""
        self._exchange: Answering | None = None
        self._task: asyncio.Task[None] | None = None
        """Answers, where that is a coroutine's job."""
        self._late = False
        """The answer is complete but for what the client has not read."""

    # The socket.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: connected."""
        self.transport = cast(asyncio.Transport, transport)
        self.write = self.transport.write
        self.transport.set_write_buffer_limits(high=self._site.limits.unread)
        self._excess = not self._site.admit(self)
        self._deadline.set(self._site.limits.head_seconds)

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes."""
        if self._phase is REFUSED:
            return
        try:
            self._reader.feed(data)
        except Rejected as error:
            self._refuse(error)
        if self._phase is HEAD:
            self._claim_head()
        if self._moved:
            self._moved = False
            self._await_phase()
        if self._ready and self._exchange is None:
            self._serve()

    def _await_phase(self) -> None:
        """From now on the client has its seconds; none run for what is not read."""
        if self._patience is None or self._unread:
            self._deadline.clear()
        else:
            self._deadline.set(self._patience)

    def _claim_head(self) -> None:
        """Claim what has come of a head that is not complete."""
        try:
            self._head_claim = self._site.head_claim(self._head_claim, self._reader.head_bytes)
        except Rejected as error:
            self._refuse(error)

    def _release_head(self) -> None:
        if self._head_claim is not None:
            self._head_claim.close()
            self._head_claim = None

    def eof_received(self) -> None:
        """asyncio: the client sends no more. One that waits for an answer has left, as proxies assume."""
        if self._exchange is not None:
            self.abort()

    def connection_lost(self, _: Exception | None) -> None:
        """asyncio: closed. The work for the client is cancelled."""
        self.gone = self._over = True
        self._reader.close()
        self._deadline.close()
        for deadline in (self._stall, self._quiet):
            if deadline is not None:
                deadline.close()
        for item in (self._incoming, *(self._ready or ())):
            if isinstance(item, Incoming):
                item.claim.close()
        self._release_head()
        self._incoming = self._ready = None
        self.leave()
        self._site.leave(self)

    def leave(self) -> None:
        """The client has gone."""
        exchange = self._exchange
        if self._task is not None:
            self._task.cancel()
        elif exchange is not None:
            self._exchange = None
            try:
                exchange.left()
            finally:
                exchange.release()

    def pause_writing(self) -> None:
        """asyncio: the client reads more slowly than we write."""
        self.full = True
        self._expect_reading()
        if self._exchange is not None:
            self._exchange.pause()

    def resume_writing(self) -> None:
        """asyncio: it has caught up."""
        self.full = False
        if self._stall is not None and not self.transport.is_closing():
            self._stall.clear()
        if self._exchange is not None:
            self._exchange.resume()
        if self._late and self._exchange is not None and not self.full:
            self.answered(self._exchange)

    def abort(self) -> None:
        """Close at once; what waits to be read is lost."""
        self.transport.abort()

    def cut(self) -> None:
        """Close soon: the client of a stream is told that it ends before its time, any other is disconnected."""
        failure = UpstreamFailed(Reason.COLD, "the sidecar is shutting down")
        if self._exchange is None or not self._exchange.cut(failure):
            self.abort()

    @property
    def idle(self) -> bool:
        """Whether it has asked nothing that is not answered; a head that is still on its way is nothing yet."""
        return self._exchange is None and self._phase in (IDLE, HEAD)

    def retire(self) -> None:
        """Close unless a request or its answer is under way."""
        if self._exchange is None and self._phase is IDLE:
            self._hang_up()

    def retire_client(self, quiet_seconds: float) -> None:
        """Close a client's connection that has asked nothing for so long; a request may hardly be on its way there."""
        if self._client and self._exchange is None and self._phase is IDLE:
            quiet = self._site.limits.idle_seconds - self._deadline.left
            if quiet >= quiet_seconds:
                self._hang_up()

    def _hang_up(self) -> None:
        """Close once the client has read everything; one that reads no more is not waited for."""
        self._over = True
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self._expect_reading()

    def _expect_reading(self) -> None:
        """From now on the client must read something of what waits for it, again and again."""
        if self._stall is None:
            self._stall = Deadline(self._loop, self._stalled)
        self._waiting = self.transport.get_write_buffer_size()
        self._stall.set(self._site.limits.stall_seconds)

    def _stalled(self) -> None:
        if self.transport.get_write_buffer_size() < self._waiting:
            self._expect_reading()
        else:
            self.abort()

    def _expired(self) -> None:
        limits = self._site.limits
        if self._phase is IDLE:
            self._hang_up()
        elif self._phase is REFUSED:
            self.abort()
        elif self._phase is HEAD:
            self._refuse(Rejected(408, "request_timeout", f"the head did not arrive within {limits.head_seconds:g} s"))
        else:
            self._refuse(Rejected(408, "request_timeout", f"the body did not arrive within {limits.body_seconds:g} s"))

    # The fast path.

    def known(self, head: Head, values: Headers, data: bytes, size: int) -> bool:
        """A whole request whose head came before: the fast path may take it where nothing is ahead of it."""
        fast_path = self._site.fast_path
        busy = self._exchange is not None or self._ready or self.full
        if fast_path is None or busy or self._excess or self._over:
            return False
        return len(data) - size <= self._site.limits.body and fast_path(self, head, values, data, size)

    def begin(self, answering: Answering) -> None:
        """This answers, by `write` and then `answered`: the fast path, or whom it leaves the request to."""
        self._deadline.clear()
        self._exchange = answering

    # Events of the reader.

    def begun(self) -> None:
        """A request begins."""
        self._phase = HEAD
        self._patience, self._moved = self._site.limits.head_seconds, True

    def headed(self, head: Head) -> None:
        """Its head is complete: whatever can be refused before the body comes is refused here."""
        self._release_head()
        self._head = head
        if self._excess and head.path.startswith("/v1/"):
            raise Rejected(503, "overloaded", "too many clients are connected; try again shortly")
        self._incoming = self._site.incoming(head, self._reader.head_bytes)
        if head.has_body:
            self._phase = BODY
            self._patience, self._moved = self._site.limits.body_seconds, True
            if head.wants_continue and self._exchange is None and not self._ready:
                self.transport.write(CONTINUE)

    def body(self, piece: bytes) -> None:
        """Bytes are claimed as they come: a client that announces much and sends nothing holds nothing."""
        incoming = self._incoming
        if incoming is None:
            return
        self._site.take(incoming, piece)

    def complete(self) -> None:
        """A request is complete: answer it, or let it wait for its turn."""
        incoming, self._incoming = self._incoming, None
        self._phase = IDLE
        self._head = _UNREAD
        self._patience, self._moved = None, True
        if incoming is not None:
            self._queue(incoming)

    def _queue(self, item: Incoming | Refusal) -> None:
        """Behind those before it; the first of them is answered once all bytes at hand are read."""
        ready = self._ready
        if ready is None:
            ready = self._ready = deque()
        ahead = len(ready) - (self._exchange is None)
        if isinstance(item, Incoming) and ahead > 0:
            self._wait(item, ahead)
        ready.append(item)
        if ahead + 1 == self._site.limits.ahead:
            self._unread = True
            self.transport.pause_reading()

    def _wait(self, incoming: Incoming, ahead: int) -> None:
        """A request that waits behind others holds its head too. Raises Rejected where it may not."""
        try:
            if ahead >= self._site.limits.most_ahead:
                raise Rejected(429, "too_many_requests", "too many requests ahead of their answers; wait for some")
            incoming.claim(incoming.head_bytes + _WAITING_BYTES)
        except Rejected:
            incoming.claim.close()
            raise

    # Answers.

    def _serve(self) -> None:
        """Answer what waits, one after the other; an answer that takes its time comes back here at its end."""
        if self._serving:
            return
        self._serving = True
        try:
            while self._ready and self._exchange is None and not self._over:
                item = self._ready.popleft()
                if isinstance(item, Refusal):
                    self._send_error(item)
                else:
                    self._start(item)
        finally:
            self._serving = False
        if not self._ready and not self._over:
            self._read_on()
            if self._exchange is None:
                self._rest()

    def _read_on(self) -> None:
        if self._unread:
            self._unread = False
            self.transport.resume_reading()
            if self._phase in (HEAD, BODY):
                self._await_phase()

    def _start(self, incoming: Incoming) -> None:
        head = incoming.head
        self._exchange = exchange = Exchange(self, head, incoming.claim)
        try:
            request = Request(head.method, head.path, head.headers, incoming.body(), incoming.claim)
            answering = incoming.handler(request, exchange)
        except Exception as error:
            send_error(exchange, error)
            exchange.done()
            return
        if answering is not None:
            self._task = self._loop.create_task(self._answer(answering, exchange))

    async def _answer(self, answering: Awaitable[None], exchange: Exchange) -> None:
        try:
            await answering
        except Exception as error:
            send_error(exchange, error)
        finally:
            self._task = None
            exchange.done()

    def answered(self, exchange: Answering) -> None:
        """The answer has ended; its claims are kept until the client has read most of it."""
        self._late = exchange.complete and self.full and not self.gone
        if self._late:
            return
        self._exchange = None
        exchange.release()
        if self.gone:
            return
        if not exchange.complete:
            self.abort()
        elif self._closes or self._site.stopping:
            self._refuse_more()
        elif self._ready:
            self._serve()
        elif not self._serving:
            self._rest()

    def streams(self) -> None:
        """A stream has begun, which may last for minutes: free what it does not need."""
        if self._phase is IDLE:
            self._deadline.rest()
        if self._quiet is not None:
            self._quiet.close()
            self._quiet = None
        if not self._ready:
            self._ready = None

    def remind(self, seconds: float) -> None:
        """Tell the exchange of its silence, in that many seconds."""
        if self.gone:
            return
        if self._quiet is None:
            self._quiet = Deadline(self._loop, self.silent)
        self._quiet.set(seconds)

    def silent(self) -> None:
        """The time of a comment has come."""
        if self._exchange is not None:
            self._exchange.silent()

    def _rest(self) -> None:
        """Nothing to answer."""
        incoming = self._incoming
        if self._phase is IDLE:
            self._deadline.set(self._site.limits.idle_seconds)
        elif incoming is not None and incoming.head.wants_continue and not incoming.size:
            self.transport.write(CONTINUE)

    # The end.

    def _refuse(self, error: Rejected) -> None:
        """Reply with an error and read no more: what follows on this connection cannot be trusted."""
        self._phase = REFUSED
        self._moved = False
        self._deadline.clear()
        if self._incoming is not None:
            self._incoming.claim.close()
            self._incoming = None
        self._release_head()
        refusal = Refusal(error, self._head)
        if self._exchange is not None or self._ready:
            self._queue(refusal)
        else:
            self._send_error(refusal)

    def _send_error(self, refusal: Refusal) -> None:
        self._exchange = exchange = Exchange(self, refusal.head._replace(method="GET", keep_alive=False))
        send_error(exchange, refusal.error)
        exchange.done()

    def _refuse_more(self) -> None:
        """Close after the last answer. A client that still sends would lose it to a reset, so let it read first."""
        self._over = True
        if self._phase is IDLE or self.transport.is_closing():
            self._hang_up()
            return
        self._phase = REFUSED
        self._deadline.set(self._site.limits.linger_seconds)
        self._read_on()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    # What an answer needs.

    def lines(self, head: Head) -> Lines:
        """Date, whether the connection lasts, and what a page of another origin may read."""
        date = self._site.date(self._loop.time())
        self._client = HEADER_PATH not in head.headers
        self._closes = not head.keep_alive or self._site.stopping or self._site.closing(self._client)
        origin = head.headers.get("origin")
        if origin is not None:
            date += self._site.routes.cors.lines(head.path, origin)
        return f"{date}connection: close\r\n" if self._closes else date
