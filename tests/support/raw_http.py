"""Bytes on real sockets: a client that sends what no library would, and a server that answers so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from disrouter_sidecar.http.limits import Limits
from disrouter_sidecar.http.memory_limits import MemoryLimit
from disrouter_sidecar.http.ports import Client, Request
from disrouter_sidecar.http.server.listener import Listener
from disrouter_sidecar.http.server.router import Methods, Routes

SECONDS = 20.0
"""How long anything may take on a slow machine."""
HANG_UP = b"the end"
"""Among the pieces of a reply: the connection ends here."""


async def talk(port: int, *pieces: bytes) -> bytes:
    """Send the pieces, each for itself, and read until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        return await asyncio.wait_for(reader.read(), SECONDS)
    finally:
        writer.close()


async def echo(request: Request, client: Client) -> None:
    """Answers with the body, and in headers with what was understood."""
    seen = {"x-method": request.method, "x-path": request.path, "x-names": " ".join(sorted(request.headers))}
    await client.reply(200, seen, request.body)


@asynccontextmanager
async def listening(
    table: dict[str, Methods] | None = None, limits: Limits | None = None, memory: MemoryLimit | None = None
) -> AsyncIterator[tuple[Listener, int]]:
    """A listener that echoes at /echo, on a free port."""
    routes = Routes({"/echo": {"POST": echo, "GET": echo}, **(table or {})})
    listener = Listener(
        routes, limits or Limits(body=1 << 20), memory or MemoryLimit(1 << 30, "request"), lambda _: False
    )
    async with listener:
        yield listener, await listener.start("127.0.0.1", 0)


@dataclass
class RawServer:
    """Answers each request on a connection with the next of its scripts, piece by piece; None closes instead."""

    replies: list[Sequence[bytes] | None]
    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    close_after: bool = False
    replying: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared, it lets requests wait for their replies."""

    def __post_init__(self) -> None:
        self.replying.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/x"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int((head.lower().partition(b"content-length: ")[2] or b"0").partition(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                await self.replying.wait()
                pieces = self.replies.pop(0)
                for piece in pieces or ():
                    if piece is HANG_UP:
                        return
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                if pieces is None or self.close_after:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            self.hung_up.set()
        finally:
            writer.close()


@asynccontextmanager
async def raw_server(*replies: Sequence[bytes] | None, close_after: bool = False) -> AsyncIterator[RawServer]:
    """A server on a free port."""
    scripted = RawServer(list(replies), close_after=close_after)
    server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    async with server:
        scripted.port = server.sockets[0].getsockname()[1]
        yield scripted
