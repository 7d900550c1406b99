"""An address, parsed once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

_AGENT = "disrouter"


class Origin(NamedTuple):
    """Where a connection leads to. A tuple, whose hash every request needs."""

    host: str
    port: int
    tls: bool


@dataclass(frozen=True, slots=True)
class Target:
    """An origin and what every request to one of its addresses begins with."""

    origin: Origin
    post: str
    get: str


@lru_cache(maxsize=1024)
def target_of(url: str) -> Target:
    """Raises ValueError on what is no http(s) address."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url[:200]!r} is not an http(s) address")
    tls = parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host = parts.netloc.rpartition("@")[2]
    rest = f"{path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: {_AGENT}\r\naccept-encoding: identity\r\n"
    return Target(Origin(parts.hostname, port, tls), f"POST {rest}", f"GET {rest}")
