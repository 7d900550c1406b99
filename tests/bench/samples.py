"""What was measured, as plain data that can be kept and read again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Self

NOISY = 0.15
"""Cores' worth of other people's work from which on a sample is flagged, and taken again while time allows."""


@dataclass(frozen=True)
class Sample:
    """One target under one workload in one round. Times are in seconds or, where they say so, microseconds."""

    workload: str
    target: str
    round: int
    answered: int
    tokens: int
    failed: int
    """Wrong, incomplete or refused answers; a sample with any is not used."""
    cut: int
    """Still in flight when the patience after the end was over."""
    cpu_seconds: float
    """User and system time of the target's processes, from the first request to the last."""
    requests_per_s: float
    tokens_per_s: float
    foreign: float
    """CPU time that others took on the two cores, as a number of cores."""
    first_token_us: float | None = None
    token_delay_us: float | None = None
    """From the engine's write of a token to its arrival; median of the sample."""
    token_delay_p99_us: float | None = None

    @property
    def noisy(self) -> bool:
        return self.foreign > NOISY


@dataclass(frozen=True)
class Memory:
    """Resident memory of a target, freshly started and with many streams open."""

    target: str
    round: int
    idle_kib: int
    open_kib: int
    streams: int

    @property
    def kib_per_stream(self) -> float:
        return (self.open_kib - self.idle_kib) / self.streams


@dataclass(frozen=True)
class Results:
    """A whole run: where, what, and every sample."""

    machine: str
    date: str
    command: str
    seconds: float
    rounds: int
    versions: dict[str, str]
    missing: dict[str, str] = field(default_factory=dict)
    """Rivals that could not be measured, each with its remedy."""
    samples: tuple[Sample, ...] = ()
    memory: tuple[Memory, ...] = ()

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        fields: dict[str, Any] = json.loads(text)
        fields["samples"] = tuple(Sample(**one) for one in fields["samples"])
        fields["memory"] = tuple(Memory(**one) for one in fields["memory"])
        return cls(**fields)
