"""An engine or a next agent on raw sockets that misbehaves on demand, in ways that no HTTP library lets one."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from support.fake_engine import stream_of, whole_of

Headers = Mapping[str, str]
NONE: Headers = {}
GONE = (ConnectionError, asyncio.IncompleteReadError)


@dataclass
class Exchange:
    """One request, and the socket to answer it on."""

    body: dict[str, Any]
    headers: dict[str, str]
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Raw bytes, as fast as they are read."""
        self.writer.write(data)
        await self.writer.drain()

    async def head(self, headers: Headers = NONE) -> None:
        """The head of a chunked event stream."""
        lines = {"content-type": "text/event-stream", "transfer-encoding": "chunked", **headers}
        await self.send(b"HTTP/1.1 200 OK\r\n" + b"".join(f"{k}: {v}\r\n".encode() for k, v in lines.items()) + b"\r\n")

    async def piece(self, data: bytes) -> None:
        """One chunk; an empty one ends the stream."""
        await self.send(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def say(self, text: str, headers: Headers = NONE) -> None:
        """A proper answer in the client's mode."""
        if self.body.get("stream"):
            await self.head(headers)
            for event in [*stream_of(text), b""]:
                await self.piece(event)
        else:
            await self.whole(whole_of(text), headers)

    async def whole(self, body: bytes, headers: Headers = NONE, *, missing: int = 0) -> None:
        """A whole reply, `missing` bytes short of what its head promises."""
        lines = {"content-type": "application/json", "content-length": str(len(body) + missing), **headers}
        head = "HTTP/1.1 200 OK\r\n" + "".join(f"{key}: {value}\r\n" for key, value in lines.items()) + "\r\n"
        await self.send(head.encode() + body)

    def reset(self) -> None:
        """End the connection with RST, as a process that is killed does."""
        reset(self.writer)


def reset(writer: asyncio.StreamWriter) -> None:
    """RST instead of FIN."""
    raw = writer.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


Behaviour = Callable[[Exchange], Awaitable[None]]


def saying(text: str, headers: Headers = NONE) -> Behaviour:
    """The behaviour of an engine that works."""

    async def behave(exchange: Exchange) -> None:
        await exchange.say(text, headers)

    return behave


@dataclass
class Origin:
    """Listens while it is up; `behave` answers every request but health probes."""

    behave: Behaviour
    port: int = 0
    asked: int = 0
    gone: int = 0
    """Requests whose connection ended before their answer did."""
    open: set[asyncio.StreamWriter] = field(default_factory=set)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def up(self) -> None:
        """Listen, on the port of last time."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]

    def down(self) -> None:
        """Die: nobody listens, and every connection is reset."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in [*self.open]:
            reset(writer)

    async def asked_again(self, times: int = 1) -> None:
        """Wait until it has been asked so many times more."""
        wanted = self.asked + times
        async with asyncio.timeout(120):
            while self.asked < wanted:  # noqa: ASYNC110  it counts requests, nobody waits for it
                await asyncio.sleep(0.005)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.open.add(writer)
        try:
            while True:
                await self._answer(await self._read(reader, writer))
        except (*GONE, asyncio.CancelledError):
            pass  # its end either way: asyncio's streams would report a cancellation as an error
        finally:
            self._tasks.discard(task)
            self.open.discard(writer)
            writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Exchange:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.split(":", 1) for line in lines[1:] if line)
        headers = {key.lower(): value.strip() for key, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Exchange(json.loads(body) if body else {}, headers, writer)

    async def _answer(self, exchange: Exchange) -> None:
        if not exchange.body:
            await exchange.whole(b"{}")
            return
        self.asked += 1
        try:
            await self.behave(exchange)
        except GONE:
            self.gone += 1
            raise

    async def close(self) -> None:
        """End for good."""
        self.down()
        tasks: Sequence[asyncio.Task[None]] = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def origin(behave: Behaviour) -> AsyncIterator[Origin]:
    """One that is up."""
    built = Origin(behave)
    await built.up()
    try:
        yield built
    finally:
        await built.close()
