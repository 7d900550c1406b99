"""What the policy needs from HTTP: a request, the client to answer, an agent to ask, and its reply.

`http` implements these on raw sockets. Nothing here knows of sockets, and the policy knows of nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, Protocol

from disrouter_sidecar.memory import Take

Headers = Mapping[str, str]
"""Lower-case names."""


class Sink(Protocol):
    """Takes a body piece by piece, called back from the socket without a task in between."""

    def feed(self, piece: bytes, end: bool) -> None:
        """The next bytes; with `end` the body is complete and nothing follows."""
        ...

    def broke(self, failure: Exception) -> None:
        """The body ends here, incomplete; nothing follows."""
        ...


class Reply(Protocol):
    """An agent's reply whose head has arrived."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Headers: ...

    async def chunk(self, seconds: float) -> bytes:
        """The next bytes of the body as they come, empty at its end. Raises UpstreamFailed."""
        ...

    def pipe(self, sink: Sink, idle: float) -> None:
        """Hand the rest to `sink` as it comes; `idle` bounds the gap between pieces, in seconds."""
        ...

    def pause(self) -> None:
        """Read no more from the agent until `resume`; `idle` stands still."""
        ...

    def resume(self) -> None: ...

    def close(self, *, ending: bool = False) -> None:
        """Done with it: at the body's end the connection is kept, before it the connection is closed at once.

        `ending`: the body is about to end by itself; a bounded rest is read and dropped so that it can be kept.
        """
        ...


class Upstream(Protocol):
    """Asks agents."""

    async def ask(self, url: str, body: bytes, headers: Headers, *, connect: float, head: float) -> Reply:
        """POST and wait for the reply's head, at most `connect` and `head` seconds. Raises UpstreamFailed."""
        ...

    async def healthy(self, url: str, seconds: float) -> bool:
        """Whether GET says 200 within `seconds`."""
        ...


class Client(Protocol):
    """The caller's side of one request. Every method raises ClientGone when nobody is there any more.

    A client that leaves also cancels the task that serves it.
    """

    @property
    def last(self) -> bytes:
        """The last piece of a stream that was sent."""
        ...

    async def reply(self, status: int, headers: Headers, body: bytes) -> None:
        """A whole reply, in one write; waits while the client reads slowly."""
        ...

    async def stream(self, status: int, headers: Headers, first: bytes, rest: Reply, idle: float) -> None:
        """Head and first bytes in one write, then `rest` as it comes: no other agent can answer from here on.

        Raises what `rest` broke with; the client's body is then still open for `end`.
        """
        ...

    async def end(self, last: bytes) -> None:
        """Complete a stream that broke, with these bytes."""
        ...


class Request(NamedTuple):
    """One request, read to its end within the bounds."""

    method: str
    path: str
    """Percent-decoded, without the query."""
    headers: Headers
    body: bytes
    take: Take
    """Claims memory for what is made of the body; its own bytes are claimed already."""


Handler = Callable[[Request, Client], Awaitable[None]]
"""Answers one request. While nothing was sent, Rejected and InvalidRequest are answered for it; all else is a 500."""
