"""Whether a soak held: memory flat, no connection left, no request lost. Pure functions over what was observed."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from bench.summary import slope

WARM_UP = 0.2
"""Part of the time at the beginning in which a process may still grow: caches, pools and buffers fill."""
GROWTH = 0.05
"""Growth over the rest of the time, of the median, that still counts as flat."""


@dataclass
class Watched:
    """One sidecar through the soak."""

    name: str
    rss: list[tuple[float, float]] = field(default_factory=list)
    """Seconds since the start, and KiB."""
    most_files: int = 0
    cpu_seconds: float = 0.0
    left: tuple[str, ...] = ()
    """Connections still open after everybody has gone, as `local -> remote` ports."""

    def settled(self) -> list[tuple[float, float]]:
        """Points after the warm-up."""
        end = self.rss[-1][0] if self.rss else 0.0
        return [point for point in self.rss if point[0] >= end * WARM_UP]

    @property
    def median_kib(self) -> float:
        return statistics.median([kib for _, kib in self.settled()] or [0.0])

    @property
    def kib_per_minute(self) -> float:
        return slope(self.settled()) * 60

    @property
    def growth(self) -> float:
        """Over the time after the warm-up, as a part of the median."""
        points = self.settled()
        if not points or not self.median_kib:
            return 0.0
        return slope(points) * (points[-1][0] - points[0][0]) / self.median_kib

    @property
    def flat(self) -> bool:
        """Shrinking is flat as well."""
        return self.growth <= GROWTH


@dataclass(frozen=True)
class Traffic:
    """What one kind of client counted."""

    name: str
    started: int
    answered: int
    aborted: int
    """Hung up on by the client, as it was told to."""
    failed: int
    cut: int
    """Without an answer long after the end: lost."""


@dataclass(frozen=True)
class Soak:
    """A whole soak."""

    machine: str
    date: str
    command: str
    minutes: float
    sidecars: tuple[Watched, ...]
    traffic: tuple[Traffic, ...]
    engine_streams_left: int
    """Streams that the engine still sends although nobody listens any more."""

    def faults(self) -> list[str]:
        """Everything that did not hold, each a sentence; empty if all did."""
        found = []
        for one in self.sidecars:
            if not one.flat:
                found.append(f"{one.name}: memory grew by {one.growth:.1%}, {one.kib_per_minute:.0f} KiB a minute")
            if one.left:
                found.append(f"{one.name}: {len(one.left)} connections left open: {', '.join(one.left[:5])}")
        for kind in self.traffic:
            if kind.failed or kind.cut:
                found.append(f"{kind.name}: {kind.failed} of {kind.started} requests failed, {kind.cut} were lost")
            if not kind.answered and not kind.aborted:
                found.append(f"{kind.name}: nothing was answered")
        if self.engine_streams_left:
            found.append(f"the engine still sends {self.engine_streams_left} streams that nobody reads")
        return found
