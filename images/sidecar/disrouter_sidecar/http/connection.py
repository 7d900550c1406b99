"""One client's connection: its requests in order, its deadlines, its errors and its end.

Requests that come ahead of their turn wait, bounded in number and bytes; the socket is read on meanwhile, because that
is how a client that leaves is noticed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import cast

from disrouter.errors import InvalidRequest
from disrouter_sidecar.errors import ClientGone, Rejected
from disrouter_sidecar.http.deadline import Deadline
from disrouter_sidecar.http.encode import CONTINUE
from disrouter_sidecar.http.exchange import Exchange
from disrouter_sidecar.http.head import Head
from disrouter_sidecar.http.requests import RequestReader
from disrouter_sidecar.http.site import Incoming, Phase, Site
from disrouter_sidecar.ports import Request
from disrouter_sidecar.replies import rejection

_UNREAD = Head("GET", "/", {}, old=False, keep_alive=False, length=0, wants_continue=False)
"""Stands for the head of a request that was refused while it was read."""
_log = logging.getLogger(__name__)


class ClientConnection(asyncio.Protocol):
    """Reads requests, has one answered at a time, and is the `Wire` of that answer."""

    transport: asyncio.Transport
    write: Callable[[bytes], None]
    """To the client, with whatever else is written in this turn of the loop."""

    def __init__(self, site: Site, loop: asyncio.AbstractEventLoop) -> None:
        self.gone = False
        self.full = False
        self._closes = False
        """The answer that is under way is the last."""
        self._site = site
        self._loop = loop
        self._reader = RequestReader(site.limits, self)
        self._deadline = Deadline(loop, self._expired)
        self._stall = Deadline(loop, self.abort)
        self._phase = Phase.IDLE
        self._patience: float | None = None
        """Seconds that the client has for what it is at, from the bytes that began it."""
        self._moved = False
        """It is at something else than before these bytes."""
        self._incoming: Incoming | None = None
        self._ready: deque[Incoming | Rejected] = deque()
        self._exchange: Exchange | None = None
        self._task: asyncio.Task[None] | None = None
        self._drained: asyncio.Future[None] | None = None

    # The socket.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: connected."""
        self.transport = cast(asyncio.Transport, transport)
        self.write = self.transport.write
        self.transport.set_write_buffer_limits(high=self._site.limits.unread)
        self._site.connections.add(self)
        self._deadline.set(self._site.limits.head_seconds)

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes."""
        if self._phase is Phase.REFUSED:
            return
        try:
            self._reader.feed(data)
        except Rejected as error:
            self._refuse(error)
        if self._moved:
            self._moved = False
            if self._patience is None:
                self._deadline.clear()
            else:
                self._deadline.set(self._patience)

    def eof_received(self) -> None:
        """asyncio: the client sends no more. One that waits for an answer is taken to have left, as proxies do."""
        if self._task is not None:
            self.abort()

    def connection_lost(self, _: Exception | None) -> None:
        """asyncio: closed. Whatever is done for the client ends at once."""
        self.gone = True
        self._reader.close()
        self._deadline.close()
        self._stall.close()
        for item in (self._incoming, *self._ready):
            if isinstance(item, Incoming):
                item.share.close()
        self._incoming = None
        self._ready.clear()
        if self._task is not None:
            self._task.cancel()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._site.connections.discard(self)
        if not self._site.connections:
            self._site.emptied.set()

    def pause_writing(self) -> None:
        """asyncio: the client reads more slowly than we write."""
        self.full = True
        self._stall.set(self._site.limits.stall_seconds)
        if self._exchange is not None:
            self._exchange.pause()

    def resume_writing(self) -> None:
        """asyncio: it has caught up."""
        self.full = False
        if not self.transport.is_closing():
            self._stall.clear()
        if self._exchange is not None:
            self._exchange.resume()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def abort(self) -> None:
        """Close at once; what waits to be read is lost."""
        self.transport.abort()

    def retire(self) -> None:
        """Close unless a request or its answer is under way."""
        if self._task is None and self._phase is Phase.IDLE:
            self._hang_up()

    def _hang_up(self) -> None:
        """Close once the client has read everything; one that reads no more is not waited for."""
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self._stall.set(self._site.limits.stall_seconds)

    def _expired(self) -> None:
        limits = self._site.limits
        if self._phase is Phase.IDLE:
            self._hang_up()
        elif self._phase is Phase.REFUSED:
            self.abort()
        elif self._phase is Phase.HEAD:
            self._refuse(Rejected(408, "request_timeout", f"the head did not arrive within {limits.head_seconds:g} s"))
        else:
            self._refuse(Rejected(408, "request_timeout", f"the body did not arrive within {limits.body_seconds:g} s"))

    # What the reader tells.

    def begun(self) -> None:
        """A request begins."""
        self._phase = Phase.HEAD
        self._patience, self._moved = self._site.limits.head_seconds, True

    def headed(self, head: Head) -> None:
        """Its head is complete: whatever can be refused before the body comes is refused here."""
        site = self._site
        handler = site.routes.find(head)
        encoding = head.headers.get("content-encoding")
        if encoding is not None and encoding.lower() != "identity":
            message = f"content-encoding {encoding[:32]!r} is not supported; send the body as it is"
            raise Rejected(415, "unsupported_encoding", message, param="content-encoding")
        if (head.length or 0) > site.limits.body:
            raise self._too_large()
        self._incoming = Incoming(head, handler, site.memory.share())
        if head.has_body:
            self._phase = Phase.BODY
            self._patience, self._moved = site.limits.body_seconds, True
            if head.wants_continue and self._task is None:
                self.transport.write(CONTINUE)

    def body(self, piece: bytes) -> None:
        """Bytes are claimed as they come: a client that announces much and sends nothing holds nothing."""
        incoming = self._incoming
        if incoming is None:
            return
        incoming.size += len(piece)
        if incoming.size > self._site.limits.body:
            raise self._too_large()
        incoming.share(len(piece))
        incoming.pieces.append(piece)

    def complete(self) -> None:
        """A request is complete: answer it, or let it wait for its turn."""
        incoming, self._incoming = self._incoming, None
        self._phase = Phase.IDLE
        self._patience, self._moved = None, True
        if incoming is None:
            return
        if self._task is None:
            self._start(incoming)
            return
        if len(self._ready) >= self._site.limits.most_ahead:
            incoming.share.close()
            raise Rejected(429, "too_many_requests", "too many requests ahead of their answers; wait for some")
        self._ready.append(incoming)
        if len(self._ready) == self._site.limits.ahead:
            self.transport.pause_reading()

    def _too_large(self) -> Rejected:
        limit = self._site.limits.body
        return Rejected(413, "request_too_large", f"the body is larger than {limit} bytes; send less")

    # Answers.

    def _start(self, incoming: Incoming) -> None:
        self._exchange = exchange = Exchange(self, incoming.head)
        self._task = self._loop.create_task(self._answer(incoming, exchange))

    async def _answer(self, incoming: Incoming, exchange: Exchange) -> None:
        head = incoming.head
        try:
            request = Request(head.method, head.path, head.headers, incoming.body(), incoming.share)
            await incoming.handler(request, exchange)
        except (Rejected, InvalidRequest) as error:
            await _rejected(exchange, error)
        except ClientGone:
            pass
        except Exception:
            _log.exception("unexpected error", extra={"path": head.path})
            await _rejected(
                exchange, Rejected(500, "internal_error", "the sidecar failed on this request; its log says why")
            )
        finally:
            incoming.share.close()
            self._answered(exchange)

    def _answered(self, exchange: Exchange) -> None:
        self._task = self._exchange = None
        if self.gone:
            return
        if not exchange.complete:
            self.abort()
        elif self._closes or self._site.stopping:
            self._refuse_more()
        else:
            self._next()

    def _next(self) -> None:
        if not self._ready:
            incoming = self._incoming
            if self._phase is Phase.IDLE:
                self._deadline.set(self._site.limits.idle_seconds)
            elif incoming is not None and incoming.head.wants_continue and not incoming.size:
                self.transport.write(CONTINUE)
            return
        item = self._ready.popleft()
        if isinstance(item, Rejected):
            self._tell(item)
            return
        self._start(item)
        if not self._ready:
            self.transport.resume_reading()

    # The end.

    def _refuse(self, error: Rejected) -> None:
        """Nothing that follows on this connection can be trusted or is wanted."""
        self._phase = Phase.REFUSED
        self._moved = False
        self._deadline.clear()
        if self._incoming is not None:
            self._incoming.share.close()
            self._incoming = None
        if self._task is not None:
            self._ready.append(error)
        else:
            self._tell(error)

    def _tell(self, error: Rejected) -> None:
        exchange = Exchange(self, _UNREAD)
        self._exchange = exchange
        self._task = self._loop.create_task(self._last(exchange, error))

    async def _last(self, exchange: Exchange, error: Rejected) -> None:
        try:
            await _rejected(exchange, error)
        finally:
            self._answered(exchange)

    def _refuse_more(self) -> None:
        """Answered for the last time. A client that still sends would lose the answer to a reset: let it read first."""
        if self._phase is Phase.IDLE or self.transport.is_closing():
            self._hang_up()
            return
        self._phase = Phase.REFUSED
        self._deadline.set(self._site.limits.linger_seconds)
        self.transport.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    # What an answer needs.

    async def drained(self) -> None:
        """Wait until the client has read most of it."""
        while self.full and not self.gone:
            self._drained = self._loop.create_future()
            await self._drained
        self._drained = None

    def lines(self, head: Head) -> str:
        """Date, and whether the connection lasts."""
        date = self._site.date(self._loop.time())
        self._closes = not head.keep_alive or self._site.stopping or self._site.closing()
        return f"{date}connection: close\r\n" if self._closes else date


async def _rejected(exchange: Exchange, error: Rejected | InvalidRequest) -> None:
    if exchange.started:
        return
    status, headers, body = rejection(error)
    try:
        await exchange.reply(status, headers, body)
    except ClientGone:
        return
