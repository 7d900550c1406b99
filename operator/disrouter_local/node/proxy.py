"""kube-proxy on one machine: each Service is a TCP forwarder on a stable loopback port.

A connection goes to a ready pod. While there is none it waits a little instead of being refused, so that a client never
notices the moment between two pods; only then is it closed, which a sidecar takes as "skip this agent".
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from disrouter_local.ports import LOOPBACK

CHUNK = 64 * 1024
CONNECT_SECONDS = 2.0

logger = logging.getLogger(__name__)


class Route(NamedTuple):
    """A Service: its port, the ports of its ready pods, seconds to wait while there are none."""

    port: int
    backends: tuple[int, ...]
    patience: float


class Forwarder:
    """One listening port, and whatever backends there are at the moment of a connection."""

    def __init__(self) -> None:
        self._backends: tuple[int, ...] = ()
        self._patience = 0.0
        self._changed = asyncio.Event()
        self._turn = itertools.count()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def listen(self, port: int) -> None:
        """Start to accept. Raises OSError if the port is taken."""
        self._server = await asyncio.start_server(self._accept, LOOPBACK, port, limit=CHUNK)

    def update(self, backends: Sequence[int], patience: float) -> None:
        """Use these backends for new connections; open ones stay where they are."""
        self._patience = patience
        if tuple(backends) != self._backends:
            self._backends = tuple(backends)
            self._changed.set()

    async def close(self) -> None:
        """Stop to accept and end every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # either side is gone, or the forwarder closes: nobody is left to tell
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = await self._connect()
        if upstream is None:
            return
        from_upstream, to_upstream = upstream
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, to_upstream))
                group.create_task(_pump(from_upstream, writer))
        except* OSError:
            _reset(writer)
        finally:
            to_upstream.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A connection to any backend, None if none answers within the patience."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        while True:
            self._changed.clear()
            for port in self._ordered():
                with contextlib.suppress(OSError, TimeoutError):
                    async with asyncio.timeout(CONNECT_SECONDS):
                        return await asyncio.open_connection(LOOPBACK, port, limit=CHUNK)
            left = deadline - loop.time()
            if left <= 0:
                return None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, 0.25)):
                    await self._changed.wait()

    def _ordered(self) -> list[int]:
        """Backends, each time beginning with another."""
        if not self._backends:
            return []
        first = next(self._turn) % len(self._backends)
        return [*self._backends[first:], *self._backends[:first]]


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Copy until the end, at the pace of the slower side, then pass the end on."""
    while data := await source.read(CHUNK):
        sink.write(data)
        await sink.drain()
    with contextlib.suppress(OSError):
        sink.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Break a connection off: a stream that was cut must not look like one that ended."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Proxy:
    """All forwarders, brought in line with the Services."""

    def __init__(self) -> None:
        self._forwarders: dict[int, Forwarder] = {}

    async def sync(self, routes: Mapping[str, Route]) -> None:
        """Listen for each Service and stop for those that are gone."""
        for name, route in routes.items():
            if route.port not in self._forwarders:
                forwarder = Forwarder()
                try:
                    await forwarder.listen(route.port)
                except OSError as error:
                    logger.error("cannot listen for Service %s: %s; stop what uses port %d", name, error, route.port)
                    continue
                self._forwarders[route.port] = forwarder
            self._forwarders[route.port].update(route.backends, route.patience)
        for port in self._forwarders.keys() - {route.port for route in routes.values()}:
            await self._forwarders.pop(port).close()

    async def close(self) -> None:
        await self.sync({})
