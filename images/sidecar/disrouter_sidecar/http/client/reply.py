"""The reply that is on a connection to an agent: `ports.Reply`, pulled before the commit and pushed after it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from disrouter_sidecar.errors import UpstreamFailed
from disrouter_sidecar.headers import Headers
from disrouter_sidecar.http.ports import BodyListener, Relay

if TYPE_CHECKING:
    from disrouter_sidecar.http.client.connection import OutboundConnection

UNREAD_BYTES = 256 * 1024
"""Of a reply's body that wait to be taken before no more is read."""


class OutboundReply:
    """`ports.Reply`: the bytes of the body as they were sent, chunks taken apart."""

    __slots__ = (
        "_back", "_connection", "_failure", "_idle", "_listener", "_paused", "_relay", "_unread", "_waiter", "headers",
        "status",
    )  # fmt: skip

    def __init__(self, connection: OutboundConnection, status: int, headers: Headers) -> None:
        self.status = status
        self.headers = headers
        self._connection: OutboundConnection | None = connection
        self._failure: UpstreamFailed | None = None
        self._back: tuple[bytes, bool] | None = None
        self._listener: BodyListener | None = None
        self._relay: Relay | None = None
        self._idle = 0.0
        self._unread = 0
        """Bytes that came since the last were taken, framing included."""
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False

    async def chunk(self, seconds: float) -> bytes:
        """The next bytes, empty at the end."""
        connection = self._connection
        if connection is None:
            return b""
        if not connection.reader.pieces:
            if connection.reader.complete:
                return b""
            await self._wait(connection, seconds)
        piece = connection.take()
        self._unread = 0
        if self._paused:
            self.resume()
        return piece

    async def _wait(self, connection: OutboundConnection, seconds: float) -> None:
        if self._failure is None:
            self._waiter = connection.loop.create_future()
            connection.wait(seconds)
            try:
                await self._waiter
            finally:
                self._waiter = None
                connection.deadline.clear()
        if self._failure is not None:
            raise self._failure

    def whole(self) -> bytes | None:
        """The body, if all of it has arrived in one piece; it can still be read."""
        connection = self._connection
        if connection is None or not connection.reader.complete or len(connection.reader.pieces) != 1:
            return None
        return connection.reader.pieces[0]

    def pipe(self, listener: BodyListener, idle: float, relay: Relay | None = None) -> None:
        """Give what has arrived to the listener now, the rest as it comes."""
        self._listener, self._idle, self._relay = listener, idle, relay
        back, self._back = self._back, None
        if back is not None and (back[0] or back[1]):
            listener.feed(*back)
        if self._listener is not listener:
            return
        if self._failure is not None:
            self.broke(self._failure)
        elif self._connection is not None:
            if not self._connection.reader.complete:
                self._connection.wait(idle)
            self.arrived(0)

    def give_back(self, data: bytes, *, end: bool) -> None:
        """What a listener has read, and whether it was all, for the next listener to read first."""
        self._back = (data, end)

    def patience(self, seconds: float) -> None:
        """Set another bound for the gaps between pieces."""
        self._idle = seconds
        if self._connection is not None and not self._paused:
            self._connection.wait(seconds)

    def forget(self) -> None:
        """Free its headers."""
        self.headers = {}
        if self._connection is not None:
            self._connection.reader.headers = {}

    def pause(self) -> None:
        """Leave the agent's bytes in the socket, which slows the agent down."""
        if not self._paused and self._connection is not None:
            self._paused = True
            self._connection.deadline.clear()
            self._connection.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._paused and self._connection is not None:
            self._paused = False
            if self._listener is not None:
                self._connection.wait(self._idle)
            self._connection.transport.resume_reading()

    def close(self, *, ending: bool = False) -> None:
        """Keep, drain or end the connection."""
        connection, self._connection, self._listener, self._relay = self._connection, None, None, None
        if connection is None or self._failure is not None:
            return
        if self._paused:
            connection.transport.resume_reading()
        if connection.reader.complete:
            connection.release()
        elif ending:
            connection.drain()
        else:
            connection.abort()

    def relayed(self, chunk: bytes, payload: int) -> bool:
        """Whether this whole chunk, just read, has gone on as it is; where its payload begins."""
        relay, connection = self._relay, self._connection
        if relay is None or connection is None:
            return False
        if not self._paused:
            connection.deadline.set(self._idle)
        relay(chunk, payload)
        return True

    def arrived(self, size: int) -> None:
        """The connection has read `size` bytes: give what is new of the body to the listener."""
        connection, listener = self._connection, self._listener
        if connection is None:
            return
        if listener is None:
            self._hold(connection, size)
            return
        reader = connection.reader
        pieces = reader.pieces
        if len(pieces) == 1:
            piece = pieces[0]
            pieces.clear()
        else:
            piece = connection.take()
        if reader.complete:
            self.close()
            listener.feed(piece, True)
        elif piece:
            if not self._paused:
                connection.deadline.set(self._idle)
            listener.feed(piece, False)

    def _hold(self, connection: OutboundConnection, size: int) -> None:
        self._unread += size
        reader = connection.reader
        if self._waiter is not None:
            if (reader.pieces or reader.complete) and not self._waiter.done():
                self._waiter.set_result(None)
        elif self._unread > UNREAD_BYTES:
            self.pause()

    def broke(self, failure: UpstreamFailed) -> None:
        """The connection is gone before the body's end."""
        self._failure = failure
        listener, self._listener, self._relay = self._listener, None, None
        if listener is not None:
            piece = b"" if self._connection is None else self._connection.take()
            if piece:
                listener.feed(piece, False)
            listener.broke(failure)
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
