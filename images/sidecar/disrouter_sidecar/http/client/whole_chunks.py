"""Bytes of a chunked body (RFC 9112, section 7.1) that are whole chunks and nothing else, seen without parsing them."""

from __future__ import annotations

MAX_BYTES = 4 * 1024
"""Of more at once llhttp makes one piece, for less than it takes to look at each chunk here."""
_LINE = b"\r\n"
_MOST_DIGITS = 3
_LENGTHS = 1024


def _prefix(length: int) -> bytes:
    """What one chunk begins with that takes so many bytes; of a length that no chunk has, what none begins with."""
    for digits in range(1, _MOST_DIGITS + 1):
        size = length - digits - 4
        if size > 0 and len(f"{size:x}") == digits:
            return b"%x\r\n" % size
    return b"-"


_PREFIXES = [_prefix(length) for length in range(_LENGTHS)]


def whole_chunks(data: bytes, place: int = 0) -> bool:
    """Whether what stands from `place` on is chunks as nearly everybody writes them, each whole and none the last."""
    length = len(data) - place
    if length < _LENGTHS and data.startswith(_PREFIXES[length], place):
        return data.endswith(_LINE)
    return 0 < length <= MAX_BYTES and _walk(data, place)


def _walk(data: bytes, place: int) -> bool:
    """From one chunk to the next."""
    while place < len(data):
        start = data.find(_LINE, place, place + _MOST_DIGITS + len(_LINE))
        digits = data[place : max(start, place)]
        if not digits.isalnum() or digits.startswith(b"0"):
            return False
        try:
            place = start + len(_LINE) + int(digits, 16) + len(_LINE)
        except ValueError:
            return False
        if data[place - len(_LINE) : place] != _LINE:
            return False
    return place == len(data)
