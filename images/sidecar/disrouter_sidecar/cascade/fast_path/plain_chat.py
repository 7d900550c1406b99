"""One plain chat as it came, and what is asked of an agent for its sake."""

from __future__ import annotations

from time import monotonic
from typing import NamedTuple

from disrouter_sidecar.decision.stream import Expectation
from disrouter_sidecar.headers import Headers
from disrouter_sidecar.http.client.connection import ConnectionListener, OutboundConnection
from disrouter_sidecar.http.client.origin import Origin
from disrouter_sidecar.http.client.pool import Pool
from disrouter_sidecar.http.client.request import OutboundRequest
from disrouter_sidecar.http.head import Head
from disrouter_sidecar.http.ports import ReplyListener


class PlainChat(NamedTuple):
    """One request, and what the engine is asked."""

    head: Head
    """What it has in common with others."""
    values: Headers
    """Headers that it has for itself."""
    data: bytes
    """Head and body as they came."""
    size: int
    """Of the head."""
    request_id: str
    start: bytes
    """The head of the engine's request."""
    asked: bytes
    """Its body."""
    held: int
    """Bytes of memory that the request is reckoned to take."""
    stream: bool
    expectation: Expectation
    """Of the engine's reply."""
    deadline: float | None
    """Seconds that the hop before left, None where the request comes from outside."""

    def headers(self) -> Headers:
        """All but the length."""
        return {**self.head.headers, **self.values}

    def body(self) -> bytes:
        """As it came."""
        return self.data[self.size :]


class Sent(NamedTuple):
    """A request to an agent, whose reply is waited for."""

    pool: Pool
    origin: Origin
    connection: OutboundConnection
    head: bytes
    body: bytes
    asked: float
    first: float
    """Seconds to wait for the reply, since it was asked."""
    bounded: bool = False
    """That wait ends with the request's deadline."""

    def ask(self, listener: ConnectionListener) -> None:
        """Send it."""
        self.connection.ask(listener, self.head, self.body, self.first)

    def hand_to(self, listener: ReplyListener, connect: float) -> OutboundRequest:
        """The same request for another listener."""
        left = self.first - (monotonic() - self.asked)
        return OutboundRequest(self.pool, self.origin, self.head, self.body, listener, connect, left, self.connection)
