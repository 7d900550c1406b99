"""Every bound of a client's connection. Beyond any of them the client gets an error and its connection is closed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes, counts and seconds."""

    body: int
    """Bytes of a request's body."""
    head: int = 32 * 1024
    """Bytes of a request's line and headers together."""
    small_head: int = 4 * 1024
    """Bytes of a head that are not counted while it has its turn: `connections` bounds these, so that probes of a
    sidecar whose memory is claimed are still answered."""
    url: int = 8 * 1024
    headers: int = 100
    connections: int = 4096
    """Clients at once. One more takes the place of the oldest that has asked nothing yet; where there is none it gets
    503, and answers to probes alone."""
    excess: int = 256
    """Clients beyond `connections` that are told so; the next are disconnected."""
    ahead: int = 8
    """Requests that wait for their turn before a client is read no further until they have had it."""
    most_ahead: int = 128
    """The same in one read; a client that sends more at once is disconnected."""
    head_seconds: float = 10.0
    """From a request's first byte, or from the connection, until its head is complete."""
    handshakes: int = 1024
    """TLS handshakes that are under way at most: each takes 50 KiB."""
    handshake_seconds: float = 10.0
    """From the connection until TLS is agreed on; the seconds of the head follow."""
    body_seconds: float = 60.0
    """From the head until the body is complete."""
    idle_seconds: float = 75.0
    """Between requests."""
    stall_seconds: float = 120.0
    """For a client that reads nothing while more than `unread` bytes wait for it."""
    linger_seconds: float = 2.0
    """For a refused client to read why, while what it still sends is dropped."""
    unread: int = 64 * 1024
    """Bytes that wait for a slow reader before the agent is read no further."""
