"""What the policy needs from HTTP: a request, the client to answer, an agent to ask, and its reply.

`http` implements these on raw sockets. Nothing here knows of sockets, and the policy knows of nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from disrouter_sidecar.errors import UpstreamFailed
from disrouter_sidecar.headers import Headers, Lines
from disrouter_sidecar.http.memory_limits import Share, Take


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

    def patience(self, seconds: float) -> None:
        """Another bound for the gaps from here on."""
        ...

    def forget(self) -> None:
        """Its headers are not looked at any more; a stream may last for minutes."""
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


class Hearer(Protocol):
    """Is told, once, what became of a question; it raises nothing."""

    def replied(self, reply: Reply) -> None:
        """The reply's head has arrived."""
        ...

    def failed(self, failure: UpstreamFailed) -> None: ...


class Asking(Protocol):
    """A question whose reply's head has not arrived."""

    def cancel(self) -> None:
        """Close its connection, or give up connecting; the hearer is told nothing."""
        ...


class Upstream(Protocol):
    """Asks agents."""

    def send(self, url: str, head: Lines, body: bytes, hearer: Hearer, *, connect: float, first: float) -> Asking:
        """POST and tell the hearer of the reply's head, within `connect` and `first` seconds. Raises UpstreamFailed.

        The hearer is never called before this returns.
        """
        ...

    async def ask(self, url: str, body: bytes, headers: Headers, *, connect: float, head: float) -> Reply:
        """The same for coroutines: POST and wait for the reply's head. Raises UpstreamFailed."""
        ...

    async def healthy(self, url: str, seconds: float) -> bool:
        """Whether GET says 200 within `seconds`."""
        ...


class Caller(Protocol):
    """Whoever answers a client by callbacks."""

    def relayed(self, failure: Exception | None) -> None:
        """What `begin` was given has ended, or broke: the body is then still open for `finish`."""
        ...

    def left(self) -> None:
        """The client has gone: nothing that is written reaches it, and nothing more is told."""
        ...


class Client(Protocol):
    """The caller's side of one request: answered by callbacks, or by a coroutine with `reply` or `stream`.

    The first four raise ClientGone when nobody is there any more. A client that leaves cancels the coroutine's task.
    """

    caller: Caller | None
    """Is told when the client leaves."""

    @property
    def started(self) -> bool:
        """Whether an answer has begun."""
        ...

    @property
    def last(self) -> bytes:
        """The last piece of a stream that was sent."""
        ...

    def put(self, status: int, head: Lines, body: bytes, *, streamed: bool = False) -> None:
        """A whole answer, in one write; `streamed`: to a client that asked for a stream."""
        ...

    def begin(self, status: int, head: Lines, first: bytes, rest: Reply, idle: float) -> None:
        """Head and first bytes in one write, then `rest` as it comes: no other agent can answer from here on."""
        ...

    async def reply(self, status: int, headers: Headers, body: bytes) -> None:
        """`put` for coroutines."""
        ...

    async def stream(self, status: int, headers: Headers, first: bytes, rest: Reply, idle: float) -> None:
        """`begin` for coroutines, to the end. Raises what `rest` broke with."""
        ...

    def finish(self, last: bytes) -> None:
        """Complete a stream that broke, with these bytes."""
        ...

    def keep(self, share: Share) -> None:
        """Give this back too, once the client has read most of the answer."""
        ...

    def release(self) -> None:
        """Give back what the request has claimed: nothing that is made of it is held any more."""
        ...

    def done(self) -> None:
        """To be called once by who answers by callbacks, last of all, unless the client has left."""
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


Handler = Callable[[Request, Client], Awaitable[None] | None]
"""Answers one request, as a coroutine or, where it returns None, by callbacks until it calls `done`.

While nothing was sent, Rejected and InvalidRequest that it raises are answered for it; all else is a 500."""
