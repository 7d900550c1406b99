"""Connections that wait for their next request, by where they lead, and all that are open."""

from __future__ import annotations

import asyncio
import ssl

from disrouter_sidecar.errors import Reason, UpstreamFailed
from disrouter_sidecar.http.client.addresses import Addresses
from disrouter_sidecar.http.client.connection import OutboundConnection
from disrouter_sidecar.http.client.origin import Origin

MAX_IDLE = 1024
"""Connections to one origin that are kept without a request."""


class Pool:
    """The connection used last is taken first, so that those not needed any more grow old and close."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._addresses = Addresses()
        self._idle: dict[Origin, dict[OutboundConnection, None]] = {}
        self._open: dict[OutboundConnection, Origin] = {}
        self._empty = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop, looked up once: each look asks the system for the process's id."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    def trust(self, tls: ssl.SSLContext) -> None:
        """Verify new connections by this; those that are open stay as they are."""
        self._tls = tls

    @property
    def size(self) -> int:
        """Connections that are open, idle ones included."""
        return len(self._open)

    @property
    def idle(self) -> int:
        """Connections that wait for a request."""
        return sum(map(len, self._idle.values()))

    def take(self, origin: Origin) -> OutboundConnection | None:
        """A connection that looks alive, if one waits."""
        idle = self._idle.get(origin)
        while idle:
            connection, _ = idle.popitem()
            if not connection.transport.is_closing():
                return connection
        return None

    async def connect(self, origin: Origin, seconds: float) -> OutboundConnection:
        """A new connection. Raises UpstreamFailed."""
        try:
            async with asyncio.timeout(seconds):
                connection = await self._connect_any(origin, await self._addresses.of(origin.host, seconds))
        except TimeoutError:
            raise UpstreamFailed(Reason.TIMEOUT, f"no connection within {seconds:.3g} s") from None
        except ConnectionRefusedError as error:
            raise UpstreamFailed(Reason.REFUSED, "connection refused") from error
        except (OSError, UnicodeError) as error:
            raise UpstreamFailed(Reason.CONNECT, type(error).__name__) from error
        self._open[connection] = origin
        return connection

    async def _connect_any(self, origin: Origin, addresses: list[str]) -> OutboundConnection:
        loop = self.loop()
        tls, name = (self._context(), origin.host) if origin.tls else (None, None)
        failed = OSError(f"{origin.host} has no address")
        for address in addresses:
            try:
                _, connection = await loop.create_connection(
                    lambda: OutboundConnection(loop, self._keep, self._forget),
                    address, origin.port, ssl=tls, server_hostname=name,
                )  # fmt: skip
            except OSError as error:
                failed = error
            else:
                return connection
        raise failed

    async def close(self) -> None:
        """Close every connection, in use or not, and wait until the sockets are closed."""
        for connection in [*self._open]:
            connection.transport.abort()
        while self._open:
            self._empty.clear()
            await self._empty.wait()

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls

    def _keep(self, connection: OutboundConnection) -> None:
        idle = self._idle.setdefault(self._open[connection], {})
        if len(idle) < MAX_IDLE:
            idle[connection] = None
        else:
            connection.abort()

    def _forget(self, connection: OutboundConnection) -> None:
        origin = self._open.pop(connection, None)
        if origin is not None and origin in self._idle:
            idle = self._idle[origin]
            idle.pop(connection, None)
            if not idle:
                del self._idle[origin]
        if not self._open:
            self._empty.set()
