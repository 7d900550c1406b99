"""How long to wait after failures in a row: the one rule for all retries."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """Seconds until the n-th retry: `first * 2**(n - 1)`, at most `longest`."""

    first: float = 0.5
    longest: float = 300.0

    def delay(self, failures: int) -> float:
        """The wait after `failures` failures in a row, at least one."""
        return min(self.longest, self.first * 2.0 ** min(failures - 1, 32))
