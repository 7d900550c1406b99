"""What the policy needs of HTTP, as protocols: a request, its client, an agent to ask, and the agent's reply.

`http` implements these on raw sockets. The policy imports nothing else of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from disrouter_sidecar.errors import UpstreamFailed
from disrouter_sidecar.headers import Headers, Lines
from disrouter_sidecar.http.memory_limits import ClaimBytes, MemoryClaim


class BodyListener(Protocol):
    """Gets a body piece by piece, called back from the socket without a task in between."""

    def feed(self, piece: bytes, end: bool) -> None:
        """The next bytes; with `end` the body is complete and nothing follows."""
        ...

    def broke(self, failure: Exception) -> None:
        """The body ends here, incomplete; nothing follows."""
        ...


Relay = Callable[[bytes, int], None]
"""Takes a whole chunk of HTTP, framing included, and the place where its payload begins."""


class Reply(Protocol):
    """An agent's reply whose head has arrived."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Headers: ...

    async def chunk(self, seconds: float) -> bytes:
        """The next bytes of the body as they come, empty at its end. Raises UpstreamFailed."""
        ...

    def pipe(self, listener: BodyListener, idle: float, relay: Relay | None = None) -> None:
        """Give the rest to `listener` as it comes; `idle` bounds the gap between pieces, in seconds.

        `relay` is called instead with what came as one whole chunk, as it came.
        """
        ...

    def patience(self, seconds: float) -> None:
        """Set another bound for the gaps between pieces, in seconds."""
        ...

    def forget(self) -> None:
        """Free its headers: a stream may last for minutes."""
        ...

    def pause(self) -> None:
        """Read no more from the agent until `resume`; `idle` stands still."""
        ...

    def resume(self) -> None: ...

    def close(self, *, ending: bool = False) -> None:
        """No more is read: at the body's end the connection is kept, before it the connection is closed at once.

        `ending`: the body is about to end by itself; a bounded rest is read and dropped so that it can be kept.
        """
        ...


class ReplyListener(Protocol):
    """Is called once, with the reply or the failure of a request; raises nothing."""

    def replied(self, reply: Reply) -> None:
        """The reply's head has arrived."""
        ...

    def failed(self, failure: UpstreamFailed) -> None: ...


class PendingRequest(Protocol):
    """A request whose reply's head has not arrived."""

    def cancel(self) -> None:
        """Close its connection, or stop connecting; the listener is not called."""
        ...


class SentRequest(Protocol):
    """A request that was sent before its listener was known."""

    def hand_to(self, listener: ReplyListener) -> PendingRequest:
        """The listener gets its reply's head."""
        ...


class Upstream(Protocol):
    """Asks agents."""

    def send(
        self, url: str, head: Lines, body: bytes, listener: ReplyListener, *, connect: float, first: float
    ) -> PendingRequest:
        """POST; the listener gets the reply's head, within `connect` and `first` seconds. Raises UpstreamFailed.

        The listener is never called before this returns.
        """
        ...

    async def ask(self, url: str, body: bytes, headers: Headers, *, connect: float, head: float) -> Reply:
        """The same for coroutines: POST and wait for the reply's head. Raises UpstreamFailed."""
        ...

    async def healthy(self, url: str, seconds: float, head: Lines = "") -> bool:
        """Whether GET says 200 within `seconds`."""
        ...


class ClientListener(Protocol):
    """Gets the events of a client that is answered by callbacks."""

    def relayed(self, failure: Exception | None) -> None:
        """What `begin` was given has ended, or broke: the body is then still open for `finish`."""
        ...

    def left(self) -> None:
        """The client has left: nothing that is written reaches it, and this is the last call."""
        ...


class Client(Protocol):
    """The client of one request, to be answered by callbacks, or by a coroutine with `reply`.

    `put`, `begin` and `reply` raise ClientGone when it has left. A client that leaves cancels the coroutine's task.
    """

    listener: ClientListener | None
    """Hears when the client leaves, and when an answer has ended."""

    @property
    def started(self) -> bool:
        """Whether an answer has begun."""
        ...

    @property
    def commented(self) -> bool:
        """Whether a stream has begun in which only comments were sent so far: what follows must be events."""
        ...

    @property
    def last(self) -> bytes:
        """The end of what was sent of a stream: its last piece, and what came before a short one."""
        ...

    def put(self, status: int, head: Lines, body: bytes, *, streamed: bool = False) -> None:
        """A whole answer in one write, after comments only its body; `streamed`: its client asked for a stream."""
        ...

    def begin(self, status: int, head: Lines, first: bytes, rest: Reply, idle: float) -> None:
        """Head and first bytes in one write, then `rest` as it comes: the commit. After comments without the head."""
        ...

    def keep_alive(self, head: Lines, seconds: float, waited: float = 0.0) -> None:
        """Send a comment after each so many seconds in which no answer begins; the first begins a stream with `head`.

        So no proxy in between takes the connection for dead. The client has `waited` for some seconds already.
        """
        ...

    async def reply(self, status: int, headers: Headers, body: bytes) -> None:
        """`put` for coroutines."""
        ...

    def finish(self, last: bytes) -> None:
        """Complete a stream that broke, or of which only comments were sent, with these bytes."""
        ...

    def hold(self, claim: MemoryClaim) -> None:
        """Release this claim too once the client has read most of the answer."""
        ...

    def release(self) -> None:
        """Release what the request has claimed: nothing made from it is held any more."""
        ...

    def done(self) -> None:
        """Call this once, last of all, when answering by callbacks, unless the client has left."""
        ...


class Request(NamedTuple):
    """One request, read to its end within the bounds."""

    method: str
    path: str
    """Percent-decoded, without the query."""
    headers: Headers
    body: bytes
    claim: ClaimBytes
    """Claims memory for what is made from the body; its own bytes are claimed already."""


Handler = Callable[[Request, Client], Awaitable[None] | None]
"""Answers one request, as a coroutine or, where it returns None, by callbacks until it calls `done`.

While nothing was sent, Rejected and InvalidRequest that it raises are answered for it; all else is a 500."""
