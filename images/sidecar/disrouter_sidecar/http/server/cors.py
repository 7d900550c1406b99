"""Cross-origin requests (the Fetch standard's CORS protocol): which pages may ask, and what they may read of replies.

Nothing is looked up for a request without an Origin, and without allowed origins all is as if there were no CORS.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial

from disrouter.names import (
    HEADER_AGENT,
    HEADER_HOPS,
    HEADER_PATH,
    HEADER_REFUSED,
    HEADER_REQUEST_ID,
    HEADER_SCENARIO,
)
from disrouter_sidecar.errors import Rejected
from disrouter_sidecar.headers import Headers, Lines, lines
from disrouter_sidecar.http.head import Head
from disrouter_sidecar.http.ports import Client, Handler, Request

Origins = Callable[[], Sequence[str]]
"""Origins whose pages may ask now, `*` for all."""
ANY = "*"
MAX_AGE_SECONDS = 600
"""For how long a browser need not ask again."""
MAX_ASKED = 1024
"""Characters of the headers that a page wants to send."""
_BELOW = "/v1/"
_METHOD, _HEADERS = "access-control-request-method", "access-control-request-headers"
_TOKENS = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
_EXPOSED = ", ".join(
    (HEADER_REQUEST_ID, HEADER_AGENT, HEADER_PATH, HEADER_HOPS, HEADER_SCENARIO, HEADER_REFUSED, "retry-after")
)


class Cors:
    """Answers preflights, and adds what browsers want to see to all other replies."""

    def __init__(self, origins: Origins) -> None:
        self._origins = origins

    def lines(self, path: str, origin: str) -> Lines:
        """For a reply to a page of this origin; none for one that may not read it."""
        if not path.startswith(_BELOW):
            return ""
        origins = self._origins()
        if ANY in origins:
            return _allowing(ANY)
        return _allowing(origin) if origin in origins else ""

    def check(self, path: str, origin: str) -> None:
        """Raise Rejected (403) for an origin whose pages may not ask."""
        if not self.lines(path, origin):
            message = f"pages of {origin[:128]!r} may not ask here; add the origin to the cascade's CORS origins"
            raise Rejected(403, "origin_not_allowed", message, param="origin")

    def preflight(self, head: Head, methods: Iterable[str]) -> Handler | None:
        """What answers a browser that asks whether a page may ask; None for what is no such question."""
        headers = head.headers
        asks = head.method == "OPTIONS" and "origin" in headers and _METHOD in headers
        if not asks or not head.path.startswith(_BELOW) or not self._origins():
            return None
        return partial(self._answer, ", ".join(methods))

    async def _answer(self, methods: str, request: Request, client: Client) -> None:
        """The origin's own lines are added as to every other reply."""
        self.check(request.path, request.headers["origin"])
        await client.reply(204, _permission(methods, request.headers), b"")


def _permission(methods: str, headers: Headers) -> Headers:
    """What the page may send. Raises Rejected for headers that are none."""
    permission = {"access-control-allow-methods": methods, "access-control-max-age": str(MAX_AGE_SECONDS)}
    asked = headers.get(_HEADERS)
    if not asked:
        return permission
    if len(asked) > MAX_ASKED or _TOKENS.fullmatch(asked) is None:
        message = f"must be names of headers, separated by commas, of at most {MAX_ASKED} characters"
        raise Rejected(400, "invalid_request", message, param=_HEADERS)
    return {**permission, "access-control-allow-headers": asked}


@lru_cache(maxsize=64)
def _allowing(origin: str) -> Lines:
    varying = {} if origin == ANY else {"vary": "Origin"}
    return lines({"access-control-allow-origin": origin, **varying, "access-control-expose-headers": _EXPOSED})
