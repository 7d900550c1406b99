"""Circuit breakers: an agent that keeps failing is left alone for a while, then one request tries it again.

One per agent that this sidecar asks, the local engine included. A refusal or an error about the request is no failure;
nor is a deadline that came with the request, or any client could open a breaker with it. An agent that asks its clients
to wait (Retry-After with a 429) works: it rests for as long as it asks, at most as long as a breaker would be open.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from disrouter.routes import Breaker as Settings
from disrouter.routes import RouteTable
from disrouter_sidecar.errors import Reason, UpstreamFailed

_FAILURES = frozenset({Reason.REFUSED, Reason.COLD, Reason.CONNECT, Reason.TIMEOUT, Reason.SERVER_ERROR, Reason.EMPTY})
_ALIVE = frozenset(Reason) - _FAILURES - {Reason.BUSY}


def _nobody_is() -> bool:
    """Excused for the end of a stream that has begun: the deadline is that of its beginning."""
    return False


class Breaker:
    """Closed while the agent works; open after failures in a row, when one request in each `open_seconds` probes it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.failures = 0
        self.open_until: float | None = None
        self.rests = False
        """It is open because the agent asked for it."""

    def admit(self, now: float, settings: Settings) -> bool:
        """Whether this attempt is a probe. Raises UpstreamFailed where the breaker is open.

        A probe that takes long, such as a long whole reply, makes room for another after `open_seconds`.
        """
        if self.open_until is None:
            return False
        if now < self.open_until:
            raise self._left_alone(self.open_until - now)
        if self.rests:
            self.open_until, self.rests = None, False
            return False
        self.open_until = now + settings.open_seconds
        return True

    def _left_alone(self, wait: float) -> UpstreamFailed:
        if self.rests:
            return UpstreamFailed(Reason.RATE_LIMITED, f"it asked to wait for {wait:.1f} s more", ceil(wait))
        return UpstreamFailed(Reason.BREAKER, f"it failed {self.failures} times in a row; tried again in {wait:.1f} s")

    def rest(self, now: float, seconds: float) -> None:
        """The agent has asked to wait; of two waits the longer counts."""
        if self.open_until is None or self.rests:
            self.open_until, self.rests = max(self.open_until or 0.0, now + seconds), True

    def worked(self, *, probe: bool) -> None:
        """An attempt succeeded. While the breaker is open only a probe counts: others may be older than that."""
        if probe or self.open_until is None:
            self.failures, self.open_until = 0, None

    def failed(self, now: float, settings: Settings, *, probe: bool) -> None:
        """An attempt failed."""
        if self.open_until is not None and not probe:
            return
        self.failures += 1
        if probe or self.failures >= settings.failures:
            self.open_until = now + settings.open_seconds

    def released(self, now: float, *, probe: bool) -> None:
        """An attempt ended without a result: its client left, or its time was up. The next attempt may probe."""
        if probe and self.open_until is not None:
            self.open_until = now


class AttemptGuard:
    """One attempt at an agent: `end` reports its result to the agent's breaker, which must `admit` it before."""

    __slots__ = ("_breaker", "_clock", "_excused", "_probe", "_settings")

    def __init__(
        self, breaker: Breaker, settings: Settings, clock: Callable[[], float], excused: Callable[[], bool]
    ) -> None:
        self._breaker = breaker
        self._settings = settings
        self._clock = clock
        self._excused = excused
        self._probe = False

    def admit(self) -> None:
        """The attempt begins now. Raises UpstreamFailed where the breaker is open."""
        if self._breaker.open_until is not None:
            self._probe = self._breaker.admit(self._clock(), self._settings)

    def committed(self) -> None:
        """Its stream has begun: a probe has succeeded. Whether the agent works is known when the stream ends."""
        self._excused = _nobody_is
        if self._probe:
            self._breaker.worked(probe=True)
            self._probe = False

    def end(self, error: Exception | None) -> None:
        """The attempt ended with this error; None: it succeeded, as one does that ends in a refusal."""
        if error is None:
            if self._breaker.failures:
                self._breaker.worked(probe=self._probe)
        elif not isinstance(error, UpstreamFailed):
            self.release()
        elif error.reason in _ALIVE:
            self._breaker.worked(probe=self._probe)
            self._rest(error)
        elif error.reason in _FAILURES and not (error.reason is Reason.TIMEOUT and self._excused()):
            self._breaker.failed(self._clock(), self._settings, probe=self._probe)
        else:
            self.release()

    def _rest(self, failure: UpstreamFailed) -> None:
        if failure.reason is Reason.RATE_LIMITED and failure.retry_after:
            self._breaker.rest(self._clock(), min(failure.retry_after, self._settings.open_seconds))

    def release(self) -> None:
        """It ended without a result."""
        self._breaker.released(self._clock(), probe=self._probe)


class Breakers:
    """The breaker of each agent; one that moved to another address starts afresh."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._of: dict[str, Breaker] = {}

    def guard(self, agent: str, table: RouteTable, excused: Callable[[], bool] = _nobody_is) -> AttemptGuard:
        """Of an attempt at `agent` that begins; a timeout does not count if `excused()`. Raises UpstreamFailed."""
        guard = AttemptGuard(self.of(agent, table), table.breaker, self._clock, excused)
        guard.admit()
        return guard

    def admitted(self, breaker: Breaker, settings: Settings, excused: Callable[[], bool] = _nobody_is) -> AttemptGuard:
        """Of an attempt that began while this breaker was closed; a timeout does not count if `excused()`."""
        return AttemptGuard(breaker, settings, self._clock, excused)

    def open(self) -> int:
        """How many agents are left alone now because they failed."""
        return sum(breaker.open_until is not None and not breaker.rests for breaker in self._of.values())

    def of(self, agent: str, table: RouteTable) -> Breaker:
        """The one of an agent."""
        url = table.agents[agent].url
        breaker = self._of.get(agent)
        if breaker is None or breaker.url != url:
            self._of = {name: known for name, known in self._of.items() if name in table.agents}
            breaker = self._of[agent] = Breaker(url)
        return breaker
