"""`ports.Client`: one request's answer, on the connection that the request came on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from disrouter_sidecar.errors import ClientGone
from disrouter_sidecar.http.encode import LAST_CHUNK, chunk, response_head
from disrouter_sidecar.http.head import Head
from disrouter_sidecar.ports import Headers, Reply

_BODILESS = (204, 304)


class Wire(Protocol):
    """The connection, as far as an answer is concerned."""

    gone: bool
    full: bool
    """More waits for the client than it should: nothing more is to be read for it."""

    @property
    def write(self) -> Callable[[bytes], None]:
        """To the client, with whatever else is written in this turn of the loop."""
        ...

    async def drained(self) -> None:
        """Wait until the client has read most of it."""
        ...

    def lines(self, head: Head) -> str:
        """Header lines that are the connection's own."""
        ...


class Exchange:
    """Writes one reply. Between `stream` and its end pieces come by callback, one write for each."""

    __slots__ = ("_chunked", "_done", "_rest", "_wire", "complete", "head", "last", "started")

    def __init__(self, wire: Wire, head: Head) -> None:
        self.head = head
        self.started = False
        self.complete = False
        self.last = b""
        self._wire = wire
        self._chunked = False
        self._rest: Reply | None = None
        self._done: asyncio.Future[None] | None = None

    async def reply(self, status: int, headers: Headers, body: bytes) -> None:
        """Head and body in one write."""
        framing = "" if status in _BODILESS else f"content-length: {len(body)}\r\n"
        self._start()
        head = response_head(status, headers, framing + self._wire.lines(self.head))
        self._wire.write(head if self.head.method == "HEAD" or status in _BODILESS else head + body)
        self.complete = True
        if self._wire.full:
            await self._wire.drained()

    async def stream(self, status: int, headers: Headers, first: bytes, rest: Reply, idle: float) -> None:
        """In chunks; to HTTP/1.0 up to the connection's end."""
        self._start()
        self._chunked = not self.head.old
        framing = "transfer-encoding: chunked\r\n" if self._chunked else ""
        head = response_head(status, headers, framing + self._wire.lines(self.head))
        self.last = first
        self._wire.write(head + self._framed(first))
        self._rest = rest
        self._done = asyncio.get_running_loop().create_future()
        rest.pipe(self, idle)
        if self._wire.full:
            rest.pause()
        try:
            await self._done
        finally:
            self._rest = None
        if self._wire.full:
            await self._wire.drained()

    async def end(self, last: bytes) -> None:
        """After a break."""
        self._wire.write(self._framed(last) + self._ending())
        self.complete = True
        if self._wire.full:
            await self._wire.drained()

    def feed(self, piece: bytes, end: bool) -> None:
        """`ports.Sink`: on to the client."""
        if self._wire.gone:
            return
        if piece:
            self.last = piece
        data = chunk(piece) if self._chunked else piece
        if end:
            self.complete = True
            data += self._ending()
            self._finish(None)
        self._wire.write(data)

    def broke(self, failure: Exception) -> None:
        """`ports.Sink`: no more comes."""
        self._finish(failure)

    def pause(self) -> None:
        """The client reads too slowly."""
        if self._rest is not None:
            self._rest.pause()

    def resume(self) -> None:
        """It has caught up."""
        if self._rest is not None:
            self._rest.resume()

    def _start(self) -> None:
        if self._wire.gone:
            raise ClientGone
        if self.started:
            raise RuntimeError("this request has been answered already")
        self.started = True

    def _framed(self, piece: bytes) -> bytes:
        return chunk(piece) if self._chunked else piece

    def _ending(self) -> bytes:
        return LAST_CHUNK if self._chunked else b""

    def _finish(self, failure: Exception | None) -> None:
        done = self._done
        if done is None or done.done():
            return
        if failure is None:
            done.set_result(None)
        else:
            done.set_exception(failure)
