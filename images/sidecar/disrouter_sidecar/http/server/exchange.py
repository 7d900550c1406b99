"""`ports.Client`: one request's answer, on the connection that the request came on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from disrouter_sidecar.errors import ClientGone
from disrouter_sidecar.headers import Headers, Lines, lines
from disrouter_sidecar.http.encode import LAST_CHUNK, chunk, status_line
from disrouter_sidecar.http.head import Head
from disrouter_sidecar.http.memory_limits import MemoryClaim
from disrouter_sidecar.http.ports import ClientListener, Reply

_BODILESS = (204, 304)
LAST_BYTES = 256
"""How much of a stream's end is at least remembered: its last events, should they come one by one."""
_COMMENT = b": keep-alive\n\n"
"""Which every reader of server-sent events passes over (WHATWG HTML, section 9.2.6)."""
_CHUNKED = "transfer-encoding: chunked\r\n"


class Wire(Protocol):
    """The connection, as far as an answer is concerned."""

    gone: bool
    full: bool
    """More bytes wait for the client than its limit: read no more for it."""

    @property
    def write(self) -> Callable[[bytes], None]:
        """To the client, with whatever else is written in this turn of the loop."""
        ...

    def lines(self, head: Head) -> Lines:
        """Header lines that are the connection's own."""
        ...

    def streams(self) -> None:
        """The answer takes its time."""
        ...

    def remind(self, seconds: float) -> None:
        """Call `Exchange.silent` in that many seconds, whatever was set before."""
        ...

    def answered(self, exchange: Answering) -> None:
        """Nothing will be written to the exchange any more."""
        ...


class Answering(Protocol):
    """What answers the request whose turn it is."""

    @property
    def complete(self) -> bool:
        """All of the answer is written."""
        ...

    def left(self) -> None:
        """The client has gone."""
        ...

    def release(self) -> None:
        """Give back what request and answer held."""
        ...

    def pause(self) -> None:
        """The client reads too slowly."""
        ...

    def resume(self) -> None:
        """It has caught up."""
        ...

    def silent(self) -> None:
        """The time of a comment has come."""
        ...

    def cut(self, failure: Exception) -> bool:
        """End a stream that is under way as if it had broken; False where there is none."""
        ...


class Exchange:
    """Writes one reply. Between `begin` and its end pieces come by callback, one write for each."""

    __slots__ = (
        "_chunked", "_comments", "_kept", "_rest", "_wire", "claim", "commented", "complete", "head", "last",
        "listener", "started",
    )  # fmt: skip

    def __init__(self, wire: Wire, head: Head, claim: MemoryClaim | None = None) -> None:
        self.head = head
        self.claim = claim
        """What the request holds until its answer has left."""
        self.listener: ClientListener | None = None
        self.started = False
        self.commented = False
        self.complete = False
        self.last = b""
        self._wire = wire
        self._chunked = False
        self._comments: tuple[Lines, float] | None = None
        """The head to begin with, and the seconds of silence before each comment."""
        self._kept: MemoryClaim | None = None
        self._rest: Reply | None = None

    def put(self, status: int, head: Lines, body: bytes, *, streamed: bool = False) -> None:
        """A whole answer: head and body in one write; framed as a stream is for a client that asked for one."""
        self._start()
        if self.commented:
            self.finish(body)
            return
        wire, bodiless = self._wire, status in _BODILESS
        if streamed and not bodiless and not self.head.old:
            framing, body = _CHUNKED, chunk(body) + LAST_CHUNK
        else:
            framing = "" if bodiless else f"content-length: {len(body)}\r\n"
        start = f"{status_line(status)}{head}{framing}{wire.lines(self.head)}\r\n".encode("latin-1")
        wire.write(start if bodiless or self.head.method == "HEAD" else start + body)
        self.complete = True

    def begin(self, status: int, head: Lines, first: bytes, rest: Reply, idle: float) -> None:
        """A streamed answer, in chunks; to HTTP/1.0 up to the connection's end. `listener` hears of its end."""
        self._start()
        wire = self._wire
        start = b"" if self.commented else self._stream_head(status, head)
        self.head, self._comments = self.head._replace(headers={}), None  # not needed while the stream lasts
        self.last = first
        wire.write(start + self._framed(first))
        self._rest = rest
        wire.streams()
        rest.pipe(self, idle, self._relay if self._chunked else None)
        if wire.full:
            rest.pause()

    def keep_alive(self, head: Lines, seconds: float, waited: float = 0.0) -> None:
        """`ports.Client`: send a comment after each so many seconds in which no answer begins."""
        self._comments = (head, seconds)
        self._wire.remind(max(seconds - waited, 0.0))

    def silent(self) -> None:
        """The time of a comment has come, unless an answer has begun meanwhile."""
        if self._comments is None or self.started or self._wire.gone:
            return
        head, seconds = self._comments
        if not self.commented:
            self.commented = True
            self._wire.write(self._stream_head(200, head) + self._framed(_COMMENT))
        elif not self._wire.full:
            self._wire.write(self._framed(_COMMENT))
        self._wire.remind(seconds)

    def finish(self, last: bytes) -> None:
        """Complete a stream that broke, or of which only comments were sent, with these bytes."""
        if not self._wire.gone:
            self._wire.write(self._framed(last) + self._ending())
            self.complete = True

    def done(self) -> None:
        """The answer has ended; one that is not complete closes the connection."""
        self.listener = None
        self._wire.answered(self)

    async def reply(self, status: int, headers: Headers, body: bytes) -> None:
        """The same as `put`, for handlers that are coroutines."""
        self.put(status, lines(headers), body)

    def feed(self, piece: bytes, end: bool) -> None:
        """`ports.BodyListener`: send the piece to the client."""
        wire = self._wire
        if wire.gone:
            return
        if piece:
            self.last = piece if len(piece) >= LAST_BYTES else self.last[-LAST_BYTES:] + piece
        data = chunk(piece) if self._chunked else piece
        if not end:
            wire.write(data)
            return
        wire.write(data + self._ending())
        self.complete = True
        self._relayed(None)

    def _relay(self, framed: bytes, start: int) -> None:
        """Send on what is a chunk already, whose payload begins at `start`."""
        wire = self._wire
        if not wire.gone:
            piece = framed[start:-2]
            self.last = piece if len(piece) >= LAST_BYTES else self.last[-LAST_BYTES:] + piece
            wire.write(framed)

    def broke(self, failure: Exception) -> None:
        """`ports.BodyListener`: the body ends incomplete."""
        self._relayed(failure)

    def cut(self, failure: Exception) -> bool:
        """End a stream that is under way as if it had broken; False where there is none."""
        if self._rest is None and not (self.commented and not self.started):
            return False
        self._relayed(failure)
        return True

    def left(self) -> None:
        """The client has gone."""
        self._rest = None
        listener, self.listener = self.listener, None
        if listener is not None:
            listener.left()

    def hold(self, claim: MemoryClaim) -> None:
        """What the answer holds until the client has read most of it."""
        self._kept = claim

    def release(self) -> None:
        """Give back what request and answer held."""
        if self.claim is not None:
            self.claim.close()
        if self._kept is not None:
            self._kept.close()

    def pause(self) -> None:
        """The client reads too slowly."""
        if self._rest is not None:
            self._rest.pause()

    def resume(self) -> None:
        """It has caught up."""
        if self._rest is not None:
            self._rest.resume()

    def _stream_head(self, status: int, head: Lines) -> bytes:
        """From here on the answer is a stream, in chunks where the client knows them."""
        self._chunked = not self.head.old
        framing = _CHUNKED if self._chunked else ""
        return f"{status_line(status)}{head}{framing}{self._wire.lines(self.head)}\r\n".encode("latin-1")

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

    def _relayed(self, failure: Exception | None) -> None:
        self._rest = None
        if self.listener is not None:
            self.listener.relayed(failure)
