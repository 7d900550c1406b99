"""Exceptions of the control plane.

DisrouterError
└── OperatorError
    ├── InvalidSettings   the operator cannot start with these flags or this environment
    ├── LeadershipLost    another replica leads now, or the lease could not be renewed in time
    ├── InvalidPatch      a pod's patch cannot be merged; carries its place in the manifest
    ├── InternalError     planning failed in a way that nobody foresaw: a bug
    └── KubeError         the API server said no; carries the HTTP status
        ├── Conflict      the object changed since it was read: read again
        ├── Rejected      the API server or a webhook refuses the object as it is
        ├── NamespaceTerminating  nothing is made any more in a namespace that goes
        ├── Throttled     too many requests (429): the API server says when to come again
        ├── NotLeading    nothing was sent: another replica may lead by now
        └── Unreachable   no answer; the reconcile is repeated later
"""

from __future__ import annotations

from disrouter.errors import DisrouterError

NOT_FOUND, FORBIDDEN = 404, 403
"""HTTP statuses of an API server: without the kind or the object, and without a right of ours."""
REFUSED = frozenset({401, FORBIDDEN})
"""HTTP statuses of an API server that knows us too little, or lets us do too little."""


class OperatorError(DisrouterError):
    """Base of the control plane's errors."""


class InvalidSettings(OperatorError):
    """A flag or environment variable is missing or wrong."""


class LeadershipLost(OperatorError):
    """This replica must stop writing at once."""


class InvalidPatch(OperatorError):
    """A strategic merge patch cannot be merged: `field` is the place in the manifest, `message` what to do."""

    def __init__(self, field: str, message: str) -> None:
        self.field, self.message = field, message
        super().__init__(f"{field}: {message}")


class InternalError(OperatorError):
    """Planning failed in a way that nobody foresaw; the cause is chained."""


class KubeError(OperatorError):
    """The API server refused a request. `status` is the HTTP status, 0 if there was no answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        self.status = status
        super().__init__(message)

    @property
    def answer(self) -> str:
        """What the API server said, without what it was asked."""
        return str(self).partition(": ")[2] or str(self)

    @property
    def of_webhook(self) -> bool:
        """A webhook is away, or has no time: it fails its own kinds alone, and waiting cures it. One that says no is a
        400 or 403."""
        return self.status in (429, 500) and "webhook" in str(self)


class Conflict(KubeError):
    """409: the object changed since it was read, or exists already."""


class Rejected(KubeError):
    """400, 403 or 422: the request is refused as it is; repeating it does not help."""


class NamespaceTerminating(KubeError):
    """The namespace is being deleted, and with it whatever a reconcile would care for."""


class Throttled(KubeError):
    """429: too many requests; `retry_after` is how many seconds to wait."""

    def __init__(self, message: str, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(message, 429)


class NotLeading(KubeError):
    """A write was held back, because another replica may lead by now."""


class Unreachable(KubeError):
    """The API server did not answer."""
