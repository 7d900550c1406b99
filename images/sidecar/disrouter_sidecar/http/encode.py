"""Heads and chunks to bytes."""

from __future__ import annotations

import http
import time
from functools import lru_cache

LAST_CHUNK = b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_DAYS = "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"
_MONTHS = "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"


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


def http_date(now: time.struct_time) -> str:
    """A moment of UTC as IMF-fixdate (RFC 9110, section 5.6.7). `email.utils` says the same for 330 KiB of memory."""
    day, month = _DAYS[now.tm_wday], _MONTHS[now.tm_mon - 1]
    return f"{day}, {now.tm_mday:02} {month} {now.tm_year} {now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02} GMT"
