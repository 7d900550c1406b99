"""Bytes of a chunked body (RFC 9112, section 7.1) that are one whole chunk and nothing else, seen without parsing them.

That is how a token of a stream comes, if it comes alone. Of several at once llhttp makes one piece, for less than it
takes to look at each here.
"""

from __future__ import annotations

MAX_BYTES = 1024
_LINE = b"\r\n"
_MOST_DIGITS = 3


def _start(length: int) -> bytes:
    """With what a chunk begins that takes so many bytes; of a length that no chunk has, with what none begins."""
    for digits in range(1, _MOST_DIGITS + 1):
        size = length - digits - 2 * len(_LINE)
        if size > 0 and len(f"{size:x}") == digits:
            return b"%x\r\n" % size
    return b"-"


_STARTS = [_start(length) for length in range(MAX_BYTES + 1)]


def payload_of_chunk(data: bytes) -> int:
    """Where the payload begins of a chunk as nearly everybody writes it, whole, and not the last, which is empty; it
    ends with a line break. 0: this is none.
    """
    length = len(data)
    if length > MAX_BYTES:
        return 0
    start = _STARTS[length]
    return len(start) if data.startswith(start) and data.endswith(_LINE) else 0
