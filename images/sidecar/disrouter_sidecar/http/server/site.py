"""What all clients' connections share, and the phases of one of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from disrouter_sidecar.errors import Rejected
from disrouter_sidecar.headers import Headers
from disrouter_sidecar.http.encode import http_date
from disrouter_sidecar.http.head import Head
from disrouter_sidecar.http.limits import Limits
from disrouter_sidecar.http.memory_limits import MemoryClaim, MemoryLimit
from disrouter_sidecar.http.ports import Handler
from disrouter_sidecar.http.server.router import Routes

if TYPE_CHECKING:
    from disrouter_sidecar.http.server.connection import ClientConnection


class Phase(Enum):
    """What the client is expected to do next."""

    IDLE = auto()
    """Send a request, or wait for its answer."""
    HEAD = auto()
    BODY = auto()
    REFUSED = auto()
    """Nothing that it still sends is read."""


IDLE, HEAD, BODY, REFUSED = Phase
"""By name: until Python 3.12 a member that is looked up in its class costs a call, and a request has dozens."""


@dataclass(slots=True)
class Incoming:
    """A request whose head has been read."""

    head: Head
    handler: Handler
    claim: MemoryClaim
    head_bytes: int = 0
    """What the head holds that is not claimed yet."""
    size: int = 0
    """Bytes of the body so far."""
    _first: bytes = b""
    _more: bytearray | None = None
    """What came behind the first piece, in one place: an object for each piece would hold fifty bytes more than it."""

    def add(self, piece: bytes) -> None:
        """The next bytes of the body."""
        if not self._first:
            self._first = piece
        elif self._more is None:
            self._more = bytearray(piece)
        else:
            self._more += piece

    def body(self) -> bytes:
        """All of it; nothing of it is kept here."""
        first, more = self._first, self._more
        self._first, self._more = b"", None
        return first if more is None else first + more


FastPath = Callable[["ClientConnection", Head, Headers, bytes, int], bool]
"""Whether a request was taken: see `RequestEvents.known`."""


class Refusal(NamedTuple):
    """Of a request that was not read to its end."""

    error: Rejected
    head: Head


@dataclass
class Site:
    """What all connections share."""

    routes: Routes
    limits: Limits
    memory: MemoryLimit
    closing: Callable[[bool], bool]
    """Whether an answer that begins now, to a client (True) or to another agent's sidecar, is its connection's last,
    and says so. One that began before ends nothing: its client does not know yet, and what it sends next would be
    lost."""
    fast_path: FastPath | None = None
    """Takes requests before anything is made of them."""
    stopping: bool = False
    """Whether connections end after the answer that is under way, announced or not."""
    connections: dict[ClientConnection, None] = field(default_factory=dict)
    """Those that are open, the oldest first."""
    emptied: asyncio.Event = field(default_factory=asyncio.Event)
    _date: tuple[int, str] = (-1, "")

    def date(self, now: float) -> str:
        """The Date header's line, made once a second of the loop's clock."""
        second = int(now)
        if self._date[0] != second:
            self._date = (second, f"date: {http_date(time.gmtime())}\r\n")
        return self._date[1]

    def incoming(self, head: Head, head_bytes: int) -> Incoming:
        """A request whose body may come. Raises Rejected for whatever can be refused by its head."""
        handler = self.routes.find(head)
        encoding = head.headers.get("content-encoding")
        if encoding is not None and encoding.lower() != "identity":
            message = f"content-encoding {encoding[:32]!r} is not supported; send the body as it is"
            raise Rejected(415, "unsupported_encoding", message, param="content-encoding")
        if (head.length or 0) > self.limits.body:
            raise self._too_large()
        claim = self.memory.claim()
        if head_bytes <= self.limits.small_head:
            return Incoming(head, handler, claim, head_bytes)
        claim(head_bytes)
        return Incoming(head, handler, claim)

    def head_claim(self, claim: MemoryClaim | None, head_bytes: int) -> MemoryClaim | None:
        """Claim a head that is still on its way, in place of what was claimed of it before. Raises Rejected."""
        if claim is not None:
            claim.close()
        if head_bytes <= self.limits.small_head:
            return None
        claim = self.memory.claim()
        claim(head_bytes)
        return claim

    def admit(self, connection: ClientConnection) -> bool:
        """Take a client in; False where there are too many. Far too many are disconnected."""
        limits, connections = self.limits, self.connections
        full = len(connections) >= limits.connections
        if full:
            idle = next((each for each in connections if each.idle), None)
            if idle is not None:
                idle.abort()
                del connections[idle]
                full = False
            elif len(connections) >= limits.connections + limits.excess:
                connection.abort()
        connections[connection] = None
        return not full

    def leave(self, connection: ClientConnection) -> None:
        """A client's connection is closed."""
        self.connections.pop(connection, None)
        if not self.connections:
            self.emptied.set()

    def take(self, incoming: Incoming, piece: bytes) -> None:
        """Bytes are claimed as they come: a client that announces much and sends nothing holds nothing."""
        incoming.size += len(piece)
        if incoming.size > self.limits.body:
            raise self._too_large()
        incoming.claim(len(piece))
        incoming.add(piece)

    def _too_large(self) -> Rejected:
        limit = self.limits.body
        return Rejected(413, "request_too_large", f"the body is larger than {limit} bytes; send less")
