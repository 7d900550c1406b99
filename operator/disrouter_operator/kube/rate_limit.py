"""A token bucket in front of the API server: a burst at once, then a steady rate, first come first served."""

from __future__ import annotations

import asyncio
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

    def __post_init__(self) -> None:
        self._tokens, self._at = self.burst, self.monotonic()

    async def take(self) -> float:
        """Wait for a token; returns the seconds waited. A token is reserved at once, so nobody is overtaken."""
        now = self.monotonic()
        self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate) - 1
        self._at = now
        if self._tokens >= 0:
            return 0.0
        wait = -self._tokens / self.rate
        await self.sleep(wait)
        return wait
