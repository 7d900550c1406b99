"""A token bucket in front of the API server: a burst at once, then a steady rate, first come first served.

When the API server asks for a pause (429), everybody who waits waits so much longer: nobody sends anything until it is
over, and then one request goes first. Those behind it are held again if that one is put off too.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field


@dataclass
class TokenBucket:
    """`rate` requests per second after `burst` at once, as client-go's QPS and burst."""

    rate: float
    burst: float
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _tokens: float = field(init=False)
    _at: float = field(init=False)
    _until: float = field(default=-math.inf, init=False)
    """When the last pause ends."""
    _held: float = field(default=0.0, init=False)
    """Seconds of all pauses so far; where two overlap, once."""

    def __post_init__(self) -> None:
        self._tokens, self._at = self.burst, self.monotonic()

    async def take(self, patience: float = math.inf) -> float:
        """Wait for a token; returns the seconds waited. A token is reserved at once, so nobody is overtaken.

        Raises TimeoutError as soon as pauses make that longer by more than `patience` seconds.
        """
        self._refill()
        self._tokens -= 1
        paused, held = max(0.0, self._until - self._at), self._held
        wait, waited = max(0.0, -self._tokens / self.rate), 0.0
        while wait > 0:
            if paused > patience:
                self._tokens += 1
                raise TimeoutError
            await self.sleep(wait)
            waited += wait
            wait, held = self._held - held, self._held
            paused += wait
        return waited

    def hold(self, seconds: float) -> None:
        """Nothing goes out for so long, also not for tokens that somebody waits for; then by the rate alone."""
        self._refill()
        until = max(self._until, self._at + seconds)
        longer = until - max(self._until, self._at)
        self._tokens = min(self._tokens, 0.0) - longer * self.rate
        self._held += longer
        self._until = until

    def _refill(self) -> None:
        now = self.monotonic()
        self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
        self._at = now
