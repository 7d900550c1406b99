"""Exceptions of the sidecar.

SidecarError
├── InvalidConfig     the environment is wrong; the process exits with code 2
├── Rejected          the sidecar itself answers the client with an OpenAI-shaped error
├── UpstreamFailed    an agent could not be used; the walk goes on to the next
├── Refused           the agent said "I don't know!"; the walk goes on to the next
└── ClientGone        the client closed its connection; everything upstream is cancelled
"""

from __future__ import annotations

from enum import StrEnum

from disrouter.errors import DisrouterError

RETRY_AFTER_SECONDS = 2
"""What a client is told to wait when no agent can answer: about the time a pod needs to be taken out of a Service."""


class Reason(StrEnum):
    """Why an agent was skipped; the values of the metric's label `reason`."""

    REFUSED = "refused"
    """The connection was refused: nothing listens."""
    CONNECT = "connect"
    """Any other failure of the connection: no such host, reset, closed half-way."""
    TIMEOUT = "timeout"
    SERVER_ERROR = "5xx"
    CONTEXT_LENGTH = "context_length"
    AUTH = "auth"
    """The engine or provider does not accept the agent's key."""
    NOT_FOUND = "not_found"
    """The engine or provider does not know the agent's model."""
    RATE_LIMITED = "rate_limited"


class SidecarError(DisrouterError):
    """Base of every error that the sidecar raises on purpose."""


class InvalidConfig(SidecarError):
    """A variable of the environment is missing or wrong; the text names it and the remedy."""


class Rejected(SidecarError):
    """The client gets this error from the sidecar itself, in OpenAI's shape."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        path: tuple[str, ...] | None = None,
        allow: str | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.param = param
        self.path = path
        """Agents tried so far where the chain itself has ended; a sidecar upstream then relays instead of retrying."""
        self.allow = allow
        """Methods that the path knows, where the request's is none of them."""
        super().__init__(message)


class UpstreamFailed(SidecarError):
    """An agent cannot be used for this request."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


class Refused(SidecarError):
    """The agent refused; nothing of its reply reached the client."""


class ClientGone(SidecarError):
    """The client's connection is closed; nobody reads what an agent would still say."""
