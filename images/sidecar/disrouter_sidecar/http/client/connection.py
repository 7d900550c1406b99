"""One connection to an agent or engine.

A connection serves one request at a time and waits in a pool in between. All of its waits share one deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol, cast

from disrouter_sidecar.errors import Reason, UpstreamFailed
from disrouter_sidecar.http.client.reply import OutboundReply
from disrouter_sidecar.http.client.response_parser import ResponseReader
from disrouter_sidecar.http.client.whole_chunk import payload_of_chunk
from disrouter_sidecar.http.deadline import Deadline

KEEP_ALIVE_SECONDS = 4.0
"""Less than uvicorn's 5 s, so that an engine seldom closes a connection just as it is taken from the pool."""
STALE_SECONDS = 0.1
"""A pooled connection that ends within that time of a request had been closed before it, so that nobody has read the
request. Later on somebody may be working at it, and it is not sent again."""
DRAIN_SECONDS = 0.25
DRAIN_BYTES = 16 * 1024
"""What is still read of a body that is about to end: a few chunks cost less than a new connection."""
JOINED_BYTES = 64 * 1024
"""A body up to this size is copied behind its head, so that both leave in one write."""


class ConnectionListener(Protocol):
    """The request on a connection; one of these is called, once."""

    def replied(self, reply: OutboundReply) -> None:
        """The reply's head has arrived."""
        ...

    def failed(self, failure: UpstreamFailed) -> None: ...

    def stale(self) -> None:
        """The connection had waited in the pool and was closed meanwhile: another one will do."""
        ...


class _State(Enum):
    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    DRAIN = auto()
    CLOSED = auto()


_IDLE, _HEAD, _BODY, _DRAIN, _CLOSED = _State
"""See `http.server.site.Phase`."""


class OutboundConnection(asyncio.Protocol):
    """Sends a request, reads its reply, and goes back to its pool."""

    __slots__ = (
        "_asked", "_drained", "_forget", "_keep", "_large", "_listener", "_reply", "_seconds", "_silent", "_state",
        "_used", "deadline", "loop", "reader", "transport",
    )  # fmt: skip

    transport: asyncio.Transport

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        keep: Callable[[OutboundConnection], None],
        forget: Callable[[OutboundConnection], None],
    ) -> None:
        self.loop = loop
        self.reader = ResponseReader()
        self.deadline = Deadline(loop, self._expired)
        self._keep = keep
        self._forget = forget
        self._state = _IDLE
        self._used = False
        self._large = False
        """The current request's body did not leave in one write with its head."""
        self._silent = True
        """No byte of a reply to the current request yet."""
        self._asked = 0.0
        """When the current request was sent, by the loop's clock."""
        self._seconds = 0.0
        self._drained = 0
        self._listener: ConnectionListener | None = None
        self._reply: OutboundReply | None = None

    def ask(self, listener: ConnectionListener, head: bytes, body: bytes, seconds: float) -> None:
        """Send; the listener gets the reply's head."""
        self.reader.begin()
        self._asked = self.loop.time()
        self._state, self._silent, self._listener = _HEAD, True, listener
        self._large = len(body) > JOINED_BYTES
        self.wait(seconds)
        if self._large:
            self.transport.writelines((head, body))
        else:
            self.transport.write(head + body)

    def listen(self, listener: ConnectionListener) -> None:
        """Another listener for the reply to the request under way."""
        if self._state is _HEAD:
            self._listener = listener

    def wait(self, seconds: float) -> None:
        """The next byte is due within that time."""
        self._seconds = seconds
        self.deadline.set(seconds)

    def take(self) -> bytes:
        """The bytes of the body that have arrived since the last time."""
        pieces = self.reader.pieces
        if not pieces:
            return b""
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        return data

    def release(self) -> None:
        """The reply is complete: wait for the next request where both sides allow it.

        An early reply leaves unsent bytes of its request, behind which the next one would wait: here, or in the
        system's buffers, where nobody can see them. A large request that is refused may never be read to its end.
        """
        self._reply = None
        transport, reader = self.transport, self.reader
        unread = transport.get_write_buffer_size() or (self._large and reader.status >= 400)
        if not reader.reusable or transport.is_closing() or unread:
            self.abort()
            return
        self._state, self._used = _IDLE, True
        reader.pieces.clear()
        self.deadline.set(KEEP_ALIVE_SECONDS)
        self._keep(self)

    def drain(self) -> None:
        """Read the short rest of a body that is not wanted, to keep the connection."""
        self._reply, self._state, self._drained = None, _DRAIN, 0
        self.deadline.set(DRAIN_SECONDS)

    def abort(self) -> None:
        """Close now: that is what ends a generation."""
        self._reply, self._listener, self._state = None, None, _CLOSED
        self.deadline.close()
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: connected."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes."""
        state = self._state
        if state is _CLOSED:
            return
        if state is _IDLE:
            self.abort()
            return
        self._silent = False
        reader, reply = self.reader, self._reply
        if reader.between:
            payload = payload_of_chunk(data)
            reader.between = payload > 0  # and it need not be read
            if payload and reply is not None and reply.relayed(data, payload):
                return
        try:
            reader.feed(data)
        except UpstreamFailed as failure:
            self._fail(failure)
            return
        if state is _HEAD:
            self._headed()
        elif reply is not None:
            reply.arrived(len(data))
        elif state is _DRAIN:
            self._drain(len(data))

    def _headed(self) -> None:
        reader, listener = self.reader, self._listener
        if not reader.headed or listener is None:
            return
        self._state, self._listener = _BODY, None
        self.deadline.clear()
        self._reply = reply = OutboundReply(self, reader.status, reader.headers)
        listener.replied(reply)

    def _drain(self, size: int) -> None:
        self._drained += size
        self.reader.pieces.clear()
        if self.reader.complete:
            self.release()
        elif self._drained > DRAIN_BYTES:
            self.abort()

    def eof_received(self) -> None:
        """asyncio: the other side sends no more; what ends with the connection is complete now."""
        if self._state is _BODY and self.reader.eof() and self._reply is not None:
            self._reply.arrived(0)

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio: closed."""
        self.deadline.close()
        self._forget(self)
        if self._state in (_HEAD, _BODY) and not self.reader.complete:
            name = "closed" if error is None else type(error).__name__
            self._fail(UpstreamFailed(Reason.CONNECT, f"the connection ended half-way ({name})"))
        self._state = _CLOSED
        self.reader.close()

    def _expired(self) -> None:
        if self._state is _HEAD:
            self._fail(UpstreamFailed(Reason.TIMEOUT, f"no reply within {self._seconds:.3g} s"))
        elif self._state is _BODY:
            self._fail(UpstreamFailed(Reason.TIMEOUT, f"silent for {self._seconds:.3g} s"))
        else:
            self.abort()

    def _fail(self, failure: UpstreamFailed) -> None:
        listener, reply = self._listener, self._reply
        stale = self._used and self._silent and failure.reason is Reason.CONNECT
        self.abort()
        if listener is not None and stale and self.loop.time() - self._asked < STALE_SECONDS:
            listener.stale()
        elif listener is not None:
            listener.failed(failure)
        elif reply is not None:
            reply.broke(failure)
