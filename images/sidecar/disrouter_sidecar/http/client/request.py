"""`ports.PendingRequest`: one request, sent on a pooled connection or, where that had been closed, on a new one."""

from __future__ import annotations

import asyncio

from disrouter_sidecar.errors import UpstreamFailed
from disrouter_sidecar.http.client.connection import OutboundConnection
from disrouter_sidecar.http.client.origin import Origin
from disrouter_sidecar.http.client.pool import Pool
from disrouter_sidecar.http.client.reply import OutboundReply
from disrouter_sidecar.http.ports import Reply, ReplyListener

_LEAST_SECONDS = 0.001


class OutboundRequest:
    """Keeps the request until the reply's head has arrived, to send it again if the pooled connection was stale."""

    __slots__ = (
        "_body", "_connect", "_connection", "_dialling", "_due", "_listener", "_loop", "_origin", "_pool",
        "_start",
    )  # fmt: skip

    def __init__(  # noqa: PLR0917
        self,
        pool: Pool,
        origin: Origin,
        start: bytes,
        body: bytes,
        listener: ReplyListener,
        connect: float,
        first: float,
        sent: SentRequest | None = None,
    ) -> None:
        self._pool = pool
        self._origin = origin
        self._start = start
        self._body = body
        self._listener = listener
        self._connect = connect
        self._loop = loop = pool.loop()
        self._due = loop.time() + first
        self._dialling: asyncio.Task[None] | None = None
        self._connection = connection = None if sent is None else sent.claim(self, start, body)
        if connection is not None:
            connection.listen(self)
            return
        self._connection = connection = pool.take(origin)
        if connection is not None:
            connection.ask(self, start, body, first)
        else:
            self.stale()

    def stale(self) -> None:
        """There is no connection, or it was closed before any byte of a reply: take a new one."""
        self._connection = None
        self._dialling = self._loop.create_task(self._dial())

    def replied(self, reply: OutboundReply) -> None:
        """The connection has the reply's head."""
        self._listener.replied(reply)

    def failed(self, failure: UpstreamFailed) -> None:
        """The connection has none."""
        self._listener.failed(failure)

    def cancel(self) -> None:
        """The listener is not called any more."""
        if self._dialling is not None:
            self._dialling.cancel()
        elif self._connection is not None:
            self._connection.abort()

    async def _dial(self) -> None:
        try:
            connection = await self._pool.connect(self._origin, min(self._connect, self._left()))
        except UpstreamFailed as failure:
            self._dialling = None
            self._listener.failed(failure)
            return
        self._dialling, self._connection = None, connection
        connection.ask(self, self._start, self._body, self._left())

    def _left(self) -> float:
        return max(self._due - self._loop.time(), _LEAST_SECONDS)


class SentRequest:
    """One that was sent already, before the policy came to ask for it: whoever asks for the same gets its reply."""

    __slots__ = ("_body", "_connection", "_start", "request")

    def __init__(self, connection: OutboundConnection, start: bytes, body: bytes) -> None:
        self._connection = connection
        self._start = start
        self._body = body
        self.request: OutboundRequest | None = None
        """That of whoever has asked for it."""

    def claim(self, request: OutboundRequest, start: bytes, body: bytes) -> OutboundConnection | None:
        """The connection that it was sent on, if it is the same to the byte."""
        if self.request is not None or start != self._start or body != self._body:
            return None
        self.request = request
        return self._connection

    def drop(self) -> None:
        """Nobody has asked for it: end the generation."""
        if self.request is None:
            self._connection.abort()


class ReplyFuture:
    """`ports.ReplyListener` for a coroutine."""

    __slots__ = ("future",)

    def __init__(self) -> None:
        self.future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

    def replied(self, reply: Reply) -> None:
        self.future.set_result(reply)

    def failed(self, failure: UpstreamFailed) -> None:
        self.future.set_exception(failure)
