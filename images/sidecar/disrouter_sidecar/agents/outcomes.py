"""What comes of asking an agent: an answer to relay, a refusal, or word that nobody from it on can answer."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from disrouter_sidecar.errors import SidecarError
from disrouter_sidecar.http.ports import Reply
from disrouter_sidecar.openai.usage import Usage


class Answer(NamedTuple):
    """A reply to relay: the bytes received so far, and the rest unless it has `ended`."""

    reply: Reply
    held: bytes
    ended: bool
    content_type: str | None = None
    """Instead of the reply's own, where what is held is not what came."""


class Outcome(Protocol):
    """Is told, once, what came of an attempt."""

    def answered(self, answer: Answer) -> None: ...

    def failed(self, error: Exception) -> None:
        """Refused, UpstreamFailed, ChainEnded or Rejected; anything else is a fault of ours."""
        ...


class Refused(SidecarError):
    """The agent refused; nothing of its reply reached the client."""

    def __init__(self, to: str | None = None, usage: Usage | None = None) -> None:
        self.usage = usage
        """Tokens that the refusal took, None where the engine did not tell."""
        self.to = to
        """The agent to jump to, None for the next one."""
        super().__init__("refused" if to is None else f"refused, for {to}")


class ChainEnded(SidecarError):
    """Nobody from another agent on can answer; its sidecar has tried them all."""

    def __init__(self, path: tuple[str, ...], told: Answer) -> None:
        self.path = path
        """All agents that were tried, those before it included."""
        self.told = told
        """The error that it sent, for a client whom nobody else can answer."""
        super().__init__(f"nobody could answer on {' -> '.join(path)}")
