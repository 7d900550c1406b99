"""Server-sent events out of bytes that arrive in any pieces (WHATWG HTML, section 9.2.6).

Used only until the decision; after it nobody parses. Lines end in LF or CRLF, the endings that engines send.
"""

from __future__ import annotations


class EventReader:
    """Feed bytes, get the `data` payloads of the events that are complete. Comments and other fields are skipped."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[bytes]:
        """Payloads that this piece completes, in order."""
        *ended, rest = piece.split(b"\n")
        payloads: list[bytes] = []
        for part in ended:
            self._line += part
            line = bytes(self._line)
            self._line.clear()
            self._take(line.removesuffix(b"\r"), payloads)
        self._line += rest
        return payloads

    def finish(self) -> list[bytes]:
        """The stream has ended: an event without its closing blank line still counts, as clients do."""
        payloads = self.feed(b"\n\n")
        self._data.clear()
        return payloads

    def _take(self, line: bytes, payloads: list[bytes]) -> None:
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        elif not line and self._data:
            payloads.append(b"\n".join(self._data))
            self._data.clear()
