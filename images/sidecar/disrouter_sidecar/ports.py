"""What the walk needs from HTTP: an agent to ask, its reply, and the client to write to.

`aio_client` and `aio_server` implement these on aiohttp; other machinery can, without touching the policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

Headers = Mapping[str, str]
"""Lower-case names."""


class Reply(Protocol):
    """An agent's reply whose head has arrived."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Headers: ...

    async def chunk(self, seconds: float) -> bytes:
        """The next bytes of the body as they come, empty at its end. Raises UpstreamFailed."""
        ...

    def close(self) -> None:
        """Done with it: at the body's end the connection is kept, before it the connection is closed at once."""
        ...


class Upstream(Protocol):
    """Asks agents."""

    async def ask(self, url: str, body: bytes, headers: Headers, *, connect: float, head: float) -> Reply:
        """POST and wait for the reply's head, at most `connect` and `head` seconds. Raises UpstreamFailed."""
        ...


class Client(Protocol):
    """The caller's side of one request. Every method raises ClientGone when nobody is there any more."""

    async def start(self, status: int, headers: Headers) -> None:
        """Send the head: from here on no other agent can answer."""
        ...

    async def write(self, piece: bytes) -> None:
        """Send bytes of the body; waits while the client reads slowly."""
        ...

    async def end(self) -> None:
        """The body is complete."""
        ...
