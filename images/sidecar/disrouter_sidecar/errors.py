"""Exceptions of the sidecar.

SidecarError
├── InvalidConfig   the environment is wrong; the process exits with code 2
├── Rejected        the sidecar itself answers the client with an OpenAI-shaped error
├── UpstreamFailed  an agent could not be used; the next is asked
│   └── InstructionRejected
└── ClientGone      the client closed its connection; everything upstream is cancelled
"""

from __future__ import annotations

from enum import StrEnum

from disrouter.errors import DisrouterError

RETRY_AFTER_SECONDS = 2
"""Wait that a client is asked for when no agent can answer: about as long as a pod takes to leave a Service."""


class Reason(StrEnum):
    """Why an agent failed; the values of the metric's label `reason`."""

    REFUSED = "refused"
    """The connection was refused: nothing listens."""
    COLD = "cold"
    """It replies that it is not ready (503): starting or draining."""
    CONNECT = "connect"
    """Any other failure of the connection: no such host, reset, closed half-way."""
    TIMEOUT = "timeout"
    SERVER_ERROR = "5xx"
    CONTEXT_LENGTH = "context_length"
    AUTH = "auth"
    """The engine or provider does not accept the agent's key, or its account is empty."""
    NOT_FOUND = "not_found"
    """The engine or provider does not know the agent's model."""
    UNSUPPORTED = "unsupported"
    """The engine or provider does not offer the API that is asked for."""
    CAPABILITY = "capability"
    """It cannot take what the request brings, such as an image; known beforehand or from its error."""
    REJECTED = "rejected"
    """Its engine rejects the request as it was instructed: the next agent, asked differently, may take it."""
    EMPTY = "empty"
    """Its reply ended well and says nothing."""
    UNFINISHED = "unfinished"
    """Its token limit or a stop string ended its reply before it said anything."""
    UNDECIDABLE = "undecidable"
    """Its reply cannot be read, so it may be a refusal."""
    RATE_LIMITED = "rate_limited"
    """It replies that it takes no more for now: its quota is spent (429), or its queue is full (503 that says so)."""
    BUSY = "busy"
    """Its engine is at as many requests as `maxInflight` allows, so it was not asked."""
    BREAKER = "breaker"
    """It failed too often in a row and is left alone for a while."""


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
        retry_after: int = RETRY_AFTER_SECONDS,
        decisions: str | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.param = param
        self.path = path
        """Agents tried so far where the chain itself has ended; a sidecar upstream then asks none of them again."""
        self.decisions = decisions
        """What these agents decided, for the sidecar upstream."""
        self.allow = allow
        """Methods that the path knows, where the request's is none of them."""
        self.retry_after = retry_after
        """Seconds that the client should wait, sent with 429 and 503."""
        super().__init__(message)


class UpstreamFailed(SidecarError):
    """An agent cannot be used for this request."""

    def __init__(self, reason: Reason, detail: str, retry_after: int | None = None) -> None:
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after
        """Seconds that the agent itself asked to wait."""
        super().__init__(f"{reason}: {detail}")


class InstructionRejected(UpstreamFailed):
    """The local engine rejects an instructed request: whether the plain one as well is still to be seen."""


class ClientGone(SidecarError):
    """The client has closed its connection: nothing can be sent any more."""
