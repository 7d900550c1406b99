"""Results of an attempt: an answer to relay, a refusal, or the report that no agent of the chain can answer."""

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
    """Instead of the reply's own, where that is wrong or what is held is not what came; also its own, of a reply that
    is relayed as it comes though it is no stream of events."""
    plain: bool = False
    """What is held has lost the encoding that it came in."""


class AttemptListener(Protocol):
    """Is called once, at the end of an attempt."""

    def answered(self, answer: Answer) -> None: ...

    def failed(self, error: Exception) -> None:
        """Refused, UpstreamFailed, ChainEnded or Rejected; anything else is a bug."""
        ...


class Refused(SidecarError):
    """The agent refused; nothing of its reply reached the client."""

    def __init__(self, to: str | None = None, usage: Usage | None = None) -> None:
        self.usage = usage
        """Tokens that the refusal took, None where the engine did not report them."""
        self.to = to
        """The agent to jump to, None for the next one."""
        super().__init__("refused" if to is None else f"refused, for {to}")


class ChainEnded(SidecarError):
    """Another agent's sidecar has tried every agent of its chain, and none can answer."""

    def __init__(self, path: tuple[str, ...], reply: Answer) -> None:
        self.path = path
        """All agents that were tried, those before it included."""
        self.reply = reply
        """Its error, to relay if no other agent can answer."""
        super().__init__(f"no agent could answer on {' -> '.join(path)}")
