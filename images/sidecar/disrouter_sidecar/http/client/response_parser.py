"""Bytes to replies: llhttp in its strict mode, one reader for all replies of a connection."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import NamedTuple

import httptools

from disrouter_sidecar.errors import Reason, UpstreamFailed
from disrouter_sidecar.http.head import NAMES, name_of
from disrouter_sidecar.http.head_memory import LENGTH, HeadMemory, KnownHead, lasting

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 200
_EMPTY_LINE, _LINE = b"\r\n\r\n", b"\r\n"


class KnownReply(NamedTuple):
    """Of a reply with a length, on a connection that lasts."""

    status: int
    headers: Mapping[str, str]
    """Without those that vary."""


_HEADS: HeadMemory[KnownReply] = HeadMemory()
_LESSONS = 8
"""Replies of one connection that are looked at to be remembered."""


class ResponseReader:
    """Feed bytes, then look at what has become of them. Interim replies (1xx) and trailers are dropped."""

    __slots__ = (
        "_begun",
        "_chunked",
        "_ended",
        "_fields",
        "_framed",
        "_known",
        "_lasts",
        "_lessons",
        "_parser",
        "_size",
        "between",
        "complete",
        "headed",
        "headers",
        "on_body",
        "on_chunk_complete",
        "on_chunk_header",
        "pieces",
        "status",
        "surplus",
    )

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        """Bytes of the body that have arrived; the reader of the list clears it."""
        self.on_body = self.pieces.append
        self.status = 0
        """Of the reply whose head has arrived."""
        self._begun, self._ended = count(), count()
        """Of chunks that llhttp has read, counted by C alone."""
        self.on_chunk_header, self.on_chunk_complete = self._begun.__next__, self._ended.__next__
        self._known: KnownHead[KnownReply] | None = _HEADS.latest
        """What this agent's heads are like, or another's."""
        self._lessons = _LESSONS
        self.begin()
        self._parser = httptools.HttpResponseParser(self)

    def begin(self) -> None:
        """The next bytes belong to a new reply."""
        self.pieces.clear()
        self.headers: dict[str, str] = {}
        self.headed = False
        self.complete = False
        self.surplus = False
        """More came than was asked for: the connection is not to be used again."""
        self._fields = 0
        self._size = 0
        """Bytes until the head was complete, interim replies included."""
        self._chunked = False
        self._framed = False
        self._lasts = False
        self.between = False
        """Known to be between two chunks of a body: a whole one that comes next need not be fed."""

    @property
    def reusable(self) -> bool:
        """Whether another request may follow on the connection."""
        return self._lasts and not self.surplus

    def feed(self, data: bytes) -> None:
        """Raises UpstreamFailed on what is no HTTP or has a head beyond the bounds."""
        fresh = not (self.headed or self._size)
        if fresh and self._known is not None and self._feed_known(self._known, data):
            return
        if not self.headed:
            room = MAX_HEAD_BYTES - self._size
            self._size += len(data)
            if len(data) >= room:
                self._feed_bounded(data, room)
                return
        self._feed(data)
        if fresh and self.complete and self._lessons:
            self._learn(data)
        # What ends in a line break and is not the size of a chunk is the end of one, or of the head.
        self.between = next(self._begun) == next(self._ended) and data.endswith(_LINE) and self._chunked

    def _feed_known(self, known: KnownHead[KnownReply], data: bytes) -> bool:
        """Read a whole reply whose head is known; False, and nothing is read, where these bytes are no such one."""
        found = known.match(data)
        if found is None:
            return False
        size, values = found
        self.status, headers = known.parsed
        self.headers = {**headers, **values}
        if size < len(data):
            self.pieces.append(data[size:])
        self.headed = self.complete = self._framed = self._lasts = True
        return True

    def _learn(self, data: bytes) -> None:
        """Remember the head of a reply that came whole, with a length, on a connection that lasts."""
        self._lessons -= 1
        headers = self.headers
        final = data[9:12] == b"%d" % self.status  # no interim reply came before it
        if final and self.reusable and LENGTH in headers and "transfer-encoding" not in headers:
            head = data[: data.find(_EMPTY_LINE) + len(_EMPTY_LINE)]
            self._known = _HEADS.learn(head, KnownReply(self.status, lasting(headers)))

    def _feed_bounded(self, data: bytes, room: int) -> None:
        """The head ends within the first `room` bytes or is too large."""
        self._feed(data[:room])
        if not self.headed:
            raise UpstreamFailed(Reason.CONNECT, f"the head of its reply is larger than {MAX_HEAD_BYTES} bytes")
        if len(data) > room:
            self._feed(data[room:])

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self.complete:
                self.surplus = True
                return
            raise UpstreamFailed(Reason.CONNECT, f"its reply is not HTTP/1.1 ({str(error)[:80]})") from None

    def eof(self) -> bool:
        """The connection has ended; True when that is how the body ends."""
        if self.headed and not self._framed:
            self.complete = True
        return self.complete

    def close(self) -> None:
        """Nothing will be fed any more: let go of llhttp, which holds this reader."""
        del self._parser

    def on_message_begin(self) -> None:
        """llhttp: a status line begins."""
        if self.complete:
            self.surplus = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """llhttp: a header, or a trailer once the head is complete."""
        self._fields += 1
        if self._fields > MAX_HEADERS:
            raise ValueError("too many headers")
        if self.headed:
            return
        key, text = NAMES.get(name) or name_of(name), value.decode("latin-1")
        self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        """llhttp: the head is complete."""
        if self.complete:
            return
        self.status = status = int(self._parser.get_status_code())
        if status < 200:
            self.headers = {}
            return
        self.headed = True
        encoding = self.headers.get("transfer-encoding", "")
        chunked = encoding.lower().endswith("chunked")
        self._chunked = chunked
        self._framed = chunked or status in (204, 304) or (not encoding and "content-length" in self.headers)

    def on_message_complete(self) -> None:
        """llhttp: the body is complete."""
        self.complete = self.headed
        self._lasts = self.complete and self._framed and bool(self._parser.should_keep_alive())
