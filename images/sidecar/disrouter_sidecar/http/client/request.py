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
        sent: OutboundConnection | None = None,
    ) -> None:
        """`sent` is the connection that these bytes were sent on already."""
        self._pool = pool
        self._origin = origin
        self._start = start
        self._body = body
        self._listener = listener
        self._connect = connect
        self._loop = loop = pool.loop()
        self._due = loop.time() + first
        self._dialling: asyncio.Task[None] | None = None
        self._connection = sent
        if sent is not None:
            sent.listen(self)
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


class ReplyFuture:
    """`ports.ReplyListener` for a coroutine."""

    __slots__ = ("future",)

    def __init__(self) -> None:
        self.future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

    def replied(self, reply: Reply) -> None:
        self.future.set_result(reply)

    def failed(self, failure: UpstreamFailed) -> None:
        self.future.set_exception(failure)
