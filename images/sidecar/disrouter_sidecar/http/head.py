"""A request's head: what llhttp lets through and we still refuse, and the few facts that the connection needs."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

import httptools

from disrouter_sidecar.errors import Rejected
from disrouter_sidecar.headers import Headers

NAMES: dict[bytes, str] = {}
_MAX_NAMES = 1024
"""Names of headers that are remembered, so that the same few are decoded once."""
_LONGEST_NAME = 40
"""Bytes of a name that is remembered: names come from strangers too, and longer ones are no common ones."""
ONCE = frozenset(("authorization", "content-length", "content-type", "expect", "host", "transfer-encoding"))
"""Headers that must not be repeated: two proxies could read the request in two ways."""


class Head(NamedTuple):
    """Method, path and headers of a request whose body may still be on its way."""

    method: str
    path: str
    """Percent-decoded, without the query."""
    headers: Headers
    old: bool
    """HTTP/1.0: no chunks, no interim replies, one request a connection."""
    keep_alive: bool
    length: int | None
    """Bytes of the body, None when it comes in chunks."""
    wants_continue: bool

    @property
    def has_body(self) -> bool:
        """Whether bytes follow."""
        return self.length != 0


def name_of(raw: bytes) -> str:
    """A header's name in lower case."""
    name = NAMES.get(raw)
    if name is None:
        name = raw.decode("latin-1").lower()
        if len(raw) <= _LONGEST_NAME:
            if len(NAMES) >= _MAX_NAMES:
                NAMES.clear()  # or the names of a stranger would stay, and common ones would not be remembered
            NAMES[raw] = name
    return name


def head_of(method: str, url: bytes, version: str, headers: Headers, *, keep_alive: bool) -> Head:
    """Check and assemble. Raises Rejected: 400, 417 or 505."""
    if version not in ("1.0", "1.1"):
        raise Rejected(505, "unsupported_version", f"HTTP/{version} is not spoken here; use HTTP/1.1")
    old = version == "1.0"
    if not old and "host" not in headers:
        raise Rejected(400, "invalid_request", "the Host header is missing", param="host")
    expect = headers.get("expect")
    if expect is not None and expect.lower() != "100-continue":
        raise Rejected(417, "invalid_request", f"expectation {expect[:32]!r} is not known; use 100-continue")
    chunked = "transfer-encoding" in headers
    if chunked and old:
        raise Rejected(400, "invalid_request", "HTTP/1.0 has no chunks; send content-length", param="transfer-encoding")
    if chunked and headers["transfer-encoding"].lower() != "chunked":
        message = "no transfer coding but chunked is known; send the body as it is"
        raise Rejected(400, "unsupported_encoding", message, param="transfer-encoding")
    length = None if chunked else int(headers.get("content-length", "0"))
    continues = expect is not None and not old
    return Head(method, _path(url), headers, old, keep_alive and not old, length, continues)


@lru_cache(maxsize=64)
def _path(url: bytes) -> str:
    if not url.startswith(b"/"):
        url = _path_of_absolute(url)
    text = url.partition(b"?")[0].decode("latin-1")
    return unquote(text) if "%" in text else text


def _path_of_absolute(url: bytes) -> bytes:
    try:
        return httptools.parse_url(url).path or b"/"
    except httptools.HttpParserInvalidURLError:
        raise Rejected(400, "invalid_request", "the request's target is not a path") from None
