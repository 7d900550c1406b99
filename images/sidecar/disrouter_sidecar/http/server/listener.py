"""The port, all connections that came through it, and their end."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Self

from disrouter.listening import listening
from disrouter_sidecar.http.limits import Limits
from disrouter_sidecar.http.memory_limits import MemoryLimit
from disrouter_sidecar.http.server.connection import ClientConnection
from disrouter_sidecar.http.server.handshakes import Handshakes
from disrouter_sidecar.http.server.router import Routes
from disrouter_sidecar.http.server.site import Site

BACKLOG = 4096
ACCEPTED = 16
"""New clients at most in one turn of the loop: libuv takes one for each handle on the port (since 1.48). Under full
load a turn is long, and behind those that connect and leave at once new clients would wait for seconds."""

LAST_SECONDS = 1.0
"""For clients to read that their streams end before their time, when the sidecar ends."""


class Listener:
    """Accepts clients until `stop`."""

    def __init__(
        self,
        routes: Routes,
        limits: Limits,
        memory: MemoryLimit,
        closing: Callable[[bool], bool],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._tls = tls
        self.site = Site(routes, limits, memory, closing)
        self._servers: list[asyncio.Server] = []
        self.handshakes: Handshakes | None = None
        """Of clients that are not connected yet, with TLS."""

    @property
    def connections(self) -> int:
        """Clients that are connected."""
        return len(self.site.connections)

    async def start(self, host: str, port: int) -> int:
        """Listen; the port that was bound. Raises OSError when it cannot be."""
        loop = asyncio.get_running_loop()
        client = partial(ClientConnection, self.site, loop)
        bound = listening(host, port, BACKLOG)
        if self._tls is not None:
            self.handshakes = Handshakes(bound, self._tls, self.site.limits, client)
            return int(bound.getsockname()[1])
        listen = partial(loop.create_server, client, backlog=BACKLOG)
        copies = [socket.socket(fileno=os.dup(bound.fileno())) for _ in range(ACCEPTED - 1)]
        self._servers = [await listen(sock=each) for each in (bound, *copies)]
        return int(bound.getsockname()[1])

    def retire_clients(self, quiet_seconds: float) -> None:
        """Close connections of clients, not of other agents' sidecars, that have asked nothing for so long."""
        for connection in [*self.site.connections]:
            connection.retire_client(quiet_seconds)

    async def stop(self, seconds: float) -> None:
        """Accept no more, let what is under way finish for that long, then close whatever is left."""
        self.site.stopping = True
        for server in self._servers:
            server.close()
        if self.handshakes is not None:
            await self.handshakes.stop()
        for connection in [*self.site.connections]:
            connection.retire()
        try:
            async with asyncio.timeout(seconds):
                await self._empty()
        except TimeoutError:
            await self._cut()

    async def _cut(self) -> None:
        """End what is still under way, with a word to those that read it."""
        for connection in [*self.site.connections]:
            connection.cut()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                await self._empty()
        for connection in [*self.site.connections]:
            connection.abort()
        await self._empty()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop(0)

    async def _empty(self) -> None:
        while self.site.connections:
            self.site.emptied.clear()
            await self.site.emptied.wait()
