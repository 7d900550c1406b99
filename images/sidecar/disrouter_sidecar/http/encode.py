"""Heads and chunks to bytes."""

from __future__ import annotations

import http
from functools import lru_cache

LAST_CHUNK = b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def chunk(piece: bytes) -> bytes:
    """One chunk (RFC 9112, section 7.1); an empty piece is none, for it would end the body."""
    return b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""


@lru_cache(maxsize=600)
def status_line(status: int) -> str:
    """With the phrase that the status has, if any."""
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n"
