"""The retry budget: a failed request may be tried elsewhere, but not so often that retries overload other agents."""

from __future__ import annotations

from disrouter.routes import Retries
from disrouter_sidecar.errors import Reason

_COSTLY = frozenset({Reason.TIMEOUT, Reason.SERVER_ERROR})
"""Signs of an overloaded agent. Other failures cost no token: an agent that is down, not ready or left alone for an
hour must not bring the cascade down with it."""


class RetryBudget:
    """A bucket of tokens: each request adds `ratio` of one, each retry takes one; it holds `burst` and starts full."""

    def __init__(self) -> None:
        self._spent = 0.0
        """Tokens missing: so a changed `burst` takes effect at once."""

    def request(self, settings: Retries) -> None:
        """A request has come."""
        self._spent = max(0.0, self._spent - settings.ratio)

    def allows(self, reason: Reason, settings: Retries) -> bool:
        """Whether another agent may be asked after a failure for `reason`; takes the token for it."""
        if reason not in _COSTLY:
            return True
        if self._spent + 1 > settings.burst:
            return False
        self._spent += 1
        return True
