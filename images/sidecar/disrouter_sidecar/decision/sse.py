"""Server-sent events out of bytes that arrive in any pieces (WHATWG HTML, section 9.2.6).

Used only until the decision; after it nothing is parsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_BOM = b"\xef\xbb\xbf"
_EVENTS = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:data|event|id|retry)?:")
_MAY_BE = re.compile(
    rb"(?:\xef|\xef\xbb)?\Z|(?:\xef\xbb\xbf)?\s*(?:d|da|dat|data|e|ev|eve|even|event|i|id|r|re|ret|retr|retry)?\Z"
)


class EventReader:
    """Feed bytes, get the `data` payloads of the events that are complete. Comments and other fields are ignored."""

    __slots__ = ("_data", "_first", "_line", "_returned", "_type", "event")

    def __init__(self) -> None:
        self.event = b""
        """Type of the event whose payload was read last."""
        self._type = b""
        self._line = bytearray()
        self._data: list[bytes] = []
        self._first = True
        self._returned = False
        """The last piece ended in a carriage return: a line feed that follows belongs to it."""

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Payloads that this piece completes, in order, each read when it is asked for: the first often decides."""
        if self._returned or b"\r" in piece:
            piece = self._in_one_style(piece)
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            line = piece[start:end]
            if self._line:
                line = bytes(self._line) + line
                self._line.clear()
            start = end + 1
            payload = self._take(line)
            if payload is not None:
                yield payload
        self._line += piece[start:]

    def finish(self) -> Iterator[bytes]:
        """The stream has ended: an event without its closing blank line still counts, as clients do."""
        return self.feed(b"\n\n")

    def _in_one_style(self, piece: bytes) -> bytes:
        """Every end of a line as a line feed."""
        if self._returned:
            piece = piece.removeprefix(b"\n")
        self._returned = piece.endswith(b"\r")
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _take(self, line: bytes) -> bytes | None:
        """The payload of the event that this line ends."""
        if self._first:
            line, self._first = line.removeprefix(_BOM), False
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
        elif name == b"event":
            self._type = value.removeprefix(b" ")
        return None

    def _dispatch(self) -> bytes | None:
        self.event, self._type = self._type, b""
        if not self._data:
            return None
        payload = b"\n".join(self._data)
        self._data.clear()
        return payload


def looks_like_events(body: bytes) -> bool | None:
    """Whether a body begins as a stream of events does, whatever its media type says; None: too short to tell."""
    if _EVENTS.match(body) is not None:
        return True
    return None if len(body) < 64 and _MAY_BE.match(body) is not None else False
