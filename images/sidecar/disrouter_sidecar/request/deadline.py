"""The seconds a request may still use before its commit. The deadline travels with it, so no hop starts it again."""

from __future__ import annotations

from collections.abc import Callable

from disrouter.errors import InvalidRequest
from disrouter.names import HEADER_DEADLINE
from disrouter.routes import Timeouts
from disrouter_sidecar.errors import Reason, UpstreamFailed
from disrouter_sidecar.http.memory_limits import ClaimBytes

LEAST_SECONDS = 0.05
"""Nobody is asked with less: that would be a timeout, and none of the agent's making."""
EARLY_SECONDS = 1.0
"""A timer fires that much before its time at most."""
_MAX_DIGITS = 9


def parse_deadline(header: str | None) -> float | None:
    """Seconds left by `x-disrouter-deadline` (whole milliseconds). Raises InvalidRequest that names the header."""
    if header is None:
        return None
    if not (header.isascii() and header.isdigit() and len(header) <= _MAX_DIGITS):
        raise InvalidRequest("must be the milliseconds left, a whole number", HEADER_DEADLINE)
    return int(header) / 1000


class Budget:
    """What a request may still use before its commit: seconds, and through `claim` bytes of replies that are held.

    A whole reply's first byte is also its last, so `whole`, where it is set, bounds it; `first_byte` bounds streams.
    `limit` is the deadline that came with the request, in seconds: any client can send it, so it only shortens.
    """

    __slots__ = ("_bounded", "_clock", "_connects", "_deadline", "_seconds", "_stream", "claim", "timeouts")

    def __init__(
        self,
        timeouts: Timeouts,
        clock: Callable[[], float],
        claim: ClaimBytes,
        *,
        stream: bool,
        limit: float | None = None,
        since: float | None = None,
    ) -> None:
        """`since` is when the request came, where that is not now."""
        self.timeouts = timeouts
        self.claim = claim
        self._stream = stream
        self._clock = clock
        self._seconds = timeouts.chain if limit is None else min(timeouts.chain, limit)
        self._deadline = (clock() if since is None else since) + self._seconds
        self._bounded = False
        """The current wait ends with the deadline, not with a bound of the route table."""
        self._connects = False
        """The current wait begins with a connection, whose bound is the route table's."""

    @property
    def over(self) -> bool:
        """Whether so little is left until the deadline that nobody need be asked any more."""
        return self._clock() >= self._deadline - LEAST_SECONDS

    @property
    def cut_short(self) -> bool:
        """Whether a timeout now is the work of the client's own, shorter deadline: that is no failure of an agent.

        What bounded the wait decides, not the clock, for under load a timer fires a turn of the loop before its time.
        """
        if not self._bounded or self._seconds >= self.timeouts.chain:
            return False
        return not self._connects or self._deadline - self._clock() < EARLY_SECONDS

    def header(self) -> str:
        """The milliseconds left, for the next hop."""
        return str(int(self.left() * 1000))

    def waits(self, agents: int = 1) -> tuple[float, float]:
        """Seconds for a connection, and for the first byte of an agent behind which `agents` may be asked in turn."""
        left, timeouts = self.left(), self.timeouts
        bound = (timeouts.first_byte if self._stream else timeouts.whole) * agents
        self._bounded, self._connects = bounded, connects = left <= bound, left > timeouts.connect
        return timeouts.connect if connects else left, left if bounded else bound

    def waits_already(self, *, bounded: bool) -> None:
        """A wait has begun before, on a connection that was there; `bounded`: it ends with the deadline."""
        self._bounded, self._connects = bounded, False

    def first(self, agents: int = 1) -> float:
        """Seconds to wait for the first byte; see `waits`."""
        return self.waits(agents)[1]

    def idle(self) -> float:
        """Seconds to wait for the next byte while nothing is committed."""
        left = self.left()
        bound = self.timeouts.idle if self._stream else self.timeouts.whole
        self._bounded, self._connects = left <= bound, False
        return left if self._bounded else bound

    def left(self) -> float:
        """Seconds until the deadline. Raises UpstreamFailed once it has passed."""
        left = self._deadline - self._clock()
        if left <= 0:
            self._bounded, self._connects = True, False
            raise UpstreamFailed(Reason.TIMEOUT, f"the chain's deadline of {self._seconds:g} s has passed")
        return left
