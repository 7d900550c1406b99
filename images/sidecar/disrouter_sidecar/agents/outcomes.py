"""How an attempt at an agent ends, as values."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from disrouter_sidecar.errors import UpstreamFailed
from disrouter_sidecar.http.ports import Reply
from disrouter_sidecar.openai.usage import Usage


class Answered(NamedTuple):
    """A reply to relay: the bytes received so far, and the rest unless it has `ended`."""

    reply: Reply
    held: bytes
    ended: bool
    content_type: str | None = None
    """Instead of the reply's own, where that is wrong or what is held is not what came; also its own, of a reply that
    is relayed as it comes though it is no stream of events."""
    plain: bool = False
    """What is held has lost the encoding that it came in."""


class Refused(NamedTuple):
    """The agent said "I don't know!"; nothing of its reply reached the client."""

    to: str | None = None
    """The agent to jump to, None for the next one."""
    usage: Usage | None = None
    """Tokens that the refusal took, None where the engine did not report them."""


class Failed(NamedTuple):
    """The agent could not be used; nothing of its reply reached the client."""

    failure: UpstreamFailed


class Exhausted(NamedTuple):
    """Another agent's sidecar has tried every agent of its chain, and none can answer."""

    path: tuple[str, ...]
    """All agents that were tried, those before it included."""
    answer: Answered
    """Its error, to relay if no other agent can answer."""


class Faulty(NamedTuple):
    """Nobody can serve the request, by its own fault (Rejected, InvalidRequest) or ours: any other error is a bug."""

    error: Exception


Outcome = Answered | Refused | Failed | Exhausted | Faulty


def outcome_of(error: Exception) -> Failed | Faulty:
    """What an attempt amounts to that ends with this error."""
    return Failed(error) if isinstance(error, UpstreamFailed) else Faulty(error)


class AttemptListener(Protocol):
    """Is called once, at the end of an attempt."""

    def ended(self, outcome: Outcome) -> None: ...
