"""A token bucket in front of the API server: a burst at once, then a steady rate, first come first served.

When the API server asks for a pause (429), nobody sends anything for so long, and then one request goes first: those
behind it are held again if that one is put off too.
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
    _holds: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._tokens, self._at = self.burst, self.monotonic()

    async def take(self, patience: float = math.inf) -> float:
        """Wait for a token; returns the seconds waited. A token is reserved at once, so nobody is overtaken.

        Raises TimeoutError where `hold` has made that longer than `patience` seconds.
        """
        waited = 0.0
        while True:
            holds = self._holds
            self._refill()
            self._tokens -= 1
            wait = max(0.0, -self._tokens / self.rate)
            if wait > 0:
                await self.sleep(wait)
                waited += wait
            if holds == self._holds:
                return waited
            if waited > patience:
                raise TimeoutError

    def hold(self, seconds: float) -> None:
        """Nothing goes out for so long, also not for tokens that somebody waits for; then by the rate alone."""
        self._refill()
        self._tokens = min(self._tokens, -seconds * self.rate)
        self._holds += 1

    def _refill(self) -> None:
        now = self.monotonic()
        self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
        self._at = now
