"""Heads and chunks to bytes."""

from __future__ import annotations

import http
from functools import lru_cache

from disrouter_sidecar.ports import Headers

LAST_CHUNK = b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def response_head(status: int, headers: Headers, framing: str) -> bytes:
    """Status line and headers; `framing` is the connection's own header lines, each ended by CRLF."""
    return f"{_status_line(status)}{_lines(headers)}{framing}\r\n".encode("latin-1")


def request_head(start: str, headers: Headers, length: int) -> bytes:
    """`start` is the request line and the headers that every request to this address has."""
    return f"{start}{_lines(headers)}content-length: {length}\r\n\r\n".encode("latin-1")


def chunk(piece: bytes) -> bytes:
    """One chunk (RFC 9112, section 7.1); an empty piece is none, for it would end the body."""
    return b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""


def _lines(headers: Headers) -> str:
    """Header lines. A line break inside a value would start a header of somebody else's making."""
    text = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if text.count("\n") != len(headers) or text.count("\r") != len(headers):
        raise ValueError("a header holds a line break")
    return text


@lru_cache(maxsize=600)
def _status_line(status: int) -> str:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n"
