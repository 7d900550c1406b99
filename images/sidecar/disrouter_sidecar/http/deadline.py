"""One timer that moves cheaply: setting it again costs an assignment, not a timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_NEVER = float("inf")


def _nobody() -> None:
    """Called back by a deadline that is closed."""


class Deadline:
    """Calls back once `set` lies in the past. A timer that fires early finds out and waits for the rest."""

    __slots__ = ("_call", "_due", "_loop", "_timer", "_when")

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        self._loop = loop
        self._call = call
        self._when = _NEVER
        self._due = _NEVER
        """When the timer fires; never where there is none."""
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float) -> None:
        """Call back in that many seconds, whatever was set before."""
        self._when = self._loop.time() + seconds
        if self._when < self._due:
            self._arm()

    @property
    def left(self) -> float:
        """Seconds until it calls back; infinite where it does not."""
        return self._when - self._loop.time()

    def clear(self) -> None:
        """Call back no more."""
        self._when = _NEVER

    def rest(self) -> None:
        """Call back no more for a good while: the timer is worth half a KiB."""
        self._when = self._due = _NEVER
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """Free the timer and the callback, so that no cycle is left for the collector."""
        self._call = _nobody
        self.rest()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = self._when
        self._timer = self._loop.call_at(self._when, self._fire)

    def _fire(self) -> None:
        self._timer, self._due = None, _NEVER
        if self._when == _NEVER:
            return
        if self._when > self._loop.time():
            self._arm()
            return
        self._when = _NEVER
        self._call()
