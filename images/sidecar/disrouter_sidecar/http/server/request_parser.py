"""Bytes to requests: llhttp in its strict mode, within bounds, whatever the pieces that the bytes arrive in."""

from __future__ import annotations

from typing import Protocol

import httptools

from disrouter_sidecar.errors import Rejected
from disrouter_sidecar.headers import Headers
from disrouter_sidecar.http.head import NAMES, ONCE, Head, head_of, name_of
from disrouter_sidecar.http.head_memory import HeadMemory, KnownHead, lasting
from disrouter_sidecar.http.limits import Limits

_EMPTY_LINE = b"\r\n\r\n"
_HEADS: HeadMemory[Head] = HeadMemory()
_BLANK = (b"\r", b"\n")
"""With which empty lines before a head begin; llhttp skips them."""
_LESSONS = 8
"""Heads of one connection that are looked at to be remembered: a client of which none comes again pays no more."""


class RequestEvents(Protocol):
    """Events of the reader, in the order of the bytes. Each may raise Rejected, which ends the reading."""

    def known(self, head: Head, values: Headers, data: bytes, size: int) -> bool:
        """A whole request whose head, the first `size` bytes, came before, but for values that vary; True where it has
        been taken, and no other event of it follows."""
        ...

    def begun(self) -> None:
        """The first byte of a request's line."""
        ...

    def headed(self, head: Head) -> None: ...

    def body(self, piece: bytes) -> None: ...

    def complete(self) -> None: ...


class RequestReader:
    """Feeds llhttp and checks what it leaves to us: sizes, counts, and HTTP's rules about a head."""

    __slots__ = (
        "_count", "_events", "_head", "_headers", "_in_body", "_known", "_left", "_lessons", "_limits", "_moved",
        "_parser", "_refused", "_size", "_tail", "_upgrade", "_url",
    )  # fmt: skip

    _parser: httptools.HttpRequestParser
    """Made for the first head that is not known."""

    def __init__(self, limits: Limits, events: RequestEvents) -> None:
        self._limits = limits
        self._events = events
        self._url = b""
        self._headers: dict[str, str] = {}
        self._count = 0
        """Headers and trailers so far."""
        self._size = 0
        """Bytes of this head; in a chunked body, bytes since it was last looked whether anything came of them."""
        self._tail = b""
        """Last bytes of a part that is not complete: its end may be cut in two."""
        self._left: int | None = None
        """Bytes of the body that are still to come, None where it comes in chunks."""
        self._moved = False
        """Bytes of a chunked body have come since the last look."""
        self._in_body = False
        self._upgrade = False
        self._refused: Rejected | None = None
        self._head: Head | None = None
        """The last one that is complete, until it was looked at."""
        self._known: KnownHead[Head] | None = _HEADS.latest
        """What this client's heads are like, or another's."""
        self._lessons = _LESSONS

    @property
    def head_bytes(self) -> int:
        """Size of the head that is being read, or in `headed` has been."""
        return self._size

    def feed(self, data: bytes) -> None:
        """Raises Rejected: 400, 431 and so on; nothing may be fed after it.

        llhttp gets no byte behind the end of a head or a body together with it. So each part is counted for itself, and
        bounds are the same whatever the pieces that the bytes arrive in.
        """
        most, size, start = self._limits.head, len(data), 0
        rest = data if size <= most else memoryview(data)
        if not (self._size or self._in_body):  # nearly always: a head begins here and ends here
            if self._known is not None and self._feed_known(self._known, data):
                return
            start = data.find(_EMPTY_LINE, 0, most) + len(_EMPTY_LINE)
            if start < len(_EMPTY_LINE):
                start = 0
            else:
                self._head = None
                self._feed(rest[:start])
                self._learn(data[:start])
        while start < size:
            end = start + self._left if self._in_body and self._left is not None else self._end_of_part(data, start)
            self._feed(rest[start:end])
            start = end

    def _feed_known(self, known: KnownHead[Head], data: bytes) -> bool:
        """Read a whole request whose head is known; False, and nothing is read, where these bytes are no such one."""
        found = known.match(data)
        if found is None:
            return False
        size, values = found
        length = len(data) - size
        events = self._events
        if events.known(known.parsed, values, data, size):
            return True
        method, path, headers, old, keep_alive, _, wants_continue = known.parsed
        if values:
            headers = {**headers, **values}
        events.begun()
        self._size = size
        events.headed(Head(method, path, headers, old, keep_alive, length, wants_continue))
        self._size = 0
        if length:
            events.body(data[size:])
        events.complete()
        return True

    def _learn(self, raw: bytes) -> None:
        """Remember the head that was read, unless its body or its connection ends in a way of its own.

        Not the first of a connection: strangers who come and go teach nothing.
        """
        head, self._head = self._head, None
        if not self._lessons or head is None or raw[:1] in _BLANK:
            return
        self._lessons -= 1
        if self._lessons == _LESSONS - 1 or head.length is None or not head.keep_alive or head.wants_continue:
            return
        if "upgrade" not in head.headers:
            self._known = _HEADS.learn(raw, head._replace(headers=lasting(head.headers)))

    def _end_of_part(self, data: bytes, start: int) -> int:
        """Behind the head or the chunked body that `start` is in, which an empty line ends, or as far as its bound
        or the data go.
        """
        most, tail = start + self._limits.head - self._size, self._tail
        if tail:
            place = (tail + data[start : min(start + 3, most)]).find(_EMPTY_LINE) - len(tail) + start
            if place >= start - len(tail):
                self._tail = b""
                return place + 4
        place = data.find(_EMPTY_LINE, start, most)
        if place < 0:
            self._tail = (tail + data[max(start, min(most, len(data)) - 3) : most])[-3:]
            return most
        if tail:
            self._tail = b""
        return place + 4

    def _feed(self, data: bytes | memoryview) -> None:
        """Part of a head or of a body."""
        self._size += len(data)
        if not hasattr(self, "_parser"):
            self._parser = httptools.HttpRequestParser(self)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._downgrade()
        except httptools.HttpParserCallbackError:
            raise self._refused or Rejected(400, "invalid_request", "the request cannot be understood") from None
        except httptools.HttpParserError as error:
            raise Rejected(400, "invalid_request", f"this is not HTTP/1.1: {str(error)[:80]}") from None
        if self._size >= self._limits.head:
            self._look()

    def _look(self) -> None:
        """Raises Rejected for a head that does not end within its bound, and for as many bytes of a chunked body of
        which nothing came: chunk extensions or trailers to no end."""
        if not self._moved:
            raise self._too_large()
        self._size, self._moved = 0, False

    def _downgrade(self) -> None:
        """Read a request that offers another protocol as if it did not (RFC 9110, section 7.8): llhttp stops there.

        Java's client offers h2c with every request.
        """
        if self._parser.get_method() == b"CONNECT":
            raise Rejected(405, "unknown_url", "CONNECT is not served here: this is no proxy")
        line = b"%b %b HTTP/%b\r\n" % (self._parser.get_method(), self._url, self._parser.get_http_version().encode())
        kept = [f"{name}: {value}\r\n" for name, value in self._headers.items() if name != "upgrade"]
        self._parser = httptools.HttpRequestParser(self)
        self._upgrade, self._size = False, 0
        self.feed(b"".join([line, "".join(kept).encode("latin-1"), b"\r\n"]))

    def close(self) -> None:
        """Nothing will be fed any more: let go of all that holds this reader, so that no cycle is left."""
        if hasattr(self, "_parser"):
            del self._parser
        del self._events
        self._refused = None

    def on_message_begin(self) -> None:
        """llhttp: a request line begins."""
        self._url = b""
        self._headers = {}
        self._count = 0
        self._in_body = False
        self._events.begun()

    def on_url(self, piece: bytes) -> None:
        """llhttp: part of the target."""
        self._url += piece
        if len(self._url) > self._limits.url:
            self._refuse(Rejected(414, "invalid_request", f"the URL is longer than {self._limits.url} bytes"))

    def on_header(self, name: bytes, value: bytes) -> None:
        """llhttp: a header or, after the body, a trailer."""
        self._count += 1
        if self._count > self._limits.headers:
            self._refuse(self._too_large())
        if self._in_body:
            return
        key, headers = NAMES.get(name) or name_of(name), self._headers
        if key not in headers:
            headers[key] = value.decode("latin-1")
        elif key in ONCE:
            self._refuse(Rejected(400, "invalid_request", f"the header {key} is sent twice", param=key))
        else:
            headers[key] = f"{headers[key]}, {value.decode('latin-1')}"

    def on_headers_complete(self) -> None:
        """llhttp: the head is complete."""
        parser = self._parser
        self._upgrade = parser.should_upgrade()
        if self._upgrade:
            return
        try:
            method, version = parser.get_method().decode("latin-1"), parser.get_http_version()
            head = head_of(method, self._url, version, self._headers, keep_alive=parser.should_keep_alive())
            self._events.headed(head)
            self._head = head
            if not head.keep_alive:
                self._known, self._lessons = None, 0  # llhttp refuses whatever follows
        except Rejected as error:
            self._refuse(error)
        self._in_body, self._left = True, head.length
        self._size, self._moved = 0, False

    def on_body(self, piece: bytes) -> None:
        """llhttp: bytes of the body."""
        if self._left is None:
            self._moved = True
        else:
            self._left -= len(piece)
            self._size = 0
        try:
            self._events.body(piece)
        except Rejected as error:
            self._refuse(error)

    def on_message_complete(self) -> None:
        """llhttp: the request is complete."""
        if self._upgrade:
            return
        self._size, self._moved = 0, False
        self._in_body = False
        self._headers = {}
        try:
            self._events.complete()
        except Rejected as error:
            self._refuse(error)

    def _refuse(self, error: Rejected) -> None:
        """Stop llhttp, which takes any exception of a callback for that."""
        self._refused = error
        raise error

    def _too_large(self) -> Rejected:
        limits = self._limits
        message = f"the head is larger than {limits.head} bytes or {limits.headers} headers; send less"
        return Rejected(431, "headers_too_large", message)
