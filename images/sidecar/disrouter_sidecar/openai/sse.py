"""Server-sent events out of bytes that arrive in any pieces (WHATWG HTML, section 9.2.6).

Used only until the decision; after it nothing is parsed. Lines end in LF or CRLF, the endings that engines send.
"""

from __future__ import annotations

from collections.abc import Iterator


class EventReader:
    """Feed bytes, get the `data` payloads of the events that are complete. Comments and other fields are ignored."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Payloads that this piece completes, in order, each read when it is asked for: the first often decides."""
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            line = bytes(self._line) + piece[start:end]
            self._line.clear()
            start = end + 1
            payload = self._take(line.removesuffix(b"\r"))
            if payload is not None:
                yield payload
        self._line += piece[start:]

    def finish(self) -> Iterator[bytes]:
        """The stream has ended: an event without its closing blank line still counts, as clients do."""
        return self.feed(b"\n\n")

    def _take(self, line: bytes) -> bytes | None:
        """The payload of the event that this line ends."""
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        elif not line and self._data:
            payload = b"\n".join(self._data)
            self._data.clear()
            return payload
        return None
