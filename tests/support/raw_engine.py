"""An engine of bytes: it answers each request with what it is given, however wrong that is as a reply."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]


@dataclass
class RawReply:
    """One reply: a status, header lines, and a body that leaves in these pieces."""

    pieces: list[bytes]
    content_type: str | None = "application/json"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    gap: float = 0.0
    delay: float = 0.0
    """Seconds before its head."""

    def head(self) -> bytes:
        lines = {"transfer-encoding": "chunked", **self.headers}
        if self.content_type is not None:
            lines["content-type"] = self.content_type
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"HTTP/1.1 {self.status} X\r\n{text}\r\n".encode()


@dataclass
class RawEngine:
    """What it was asked, and what it says to that."""

    answer: Callable[[Body], RawReply]
    url: str = ""
    bodies: list[Body] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = int(head.split("content-length: ")[1].split("\r\n")[0]) if "content-length" in head else 0
                raw = await reader.readexactly(length)
                if not raw:
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                    continue
                body = json.loads(raw)
                self.bodies.append(body)
                reply = self.answer(body)
                await asyncio.sleep(reply.delay)
                writer.write(reply.head())
                for piece in reply.pieces:
                    if piece:
                        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                        await writer.drain()
                        await asyncio.sleep(reply.gap)
                writer.write(b"0\r\n\r\n")
                await writer.drain()
        writer.close()


@asynccontextmanager
async def raw_engine(answer: Callable[[Body], RawReply]) -> AsyncIterator[RawEngine]:
    """One on a free loopback port."""
    engine = RawEngine(answer)
    server = await asyncio.start_server(engine.serve, "127.0.0.1", 0)
    engine.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield engine
    finally:
        server.close()
