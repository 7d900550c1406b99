"""What can go wrong before a measurement, each with its remedy."""

from __future__ import annotations


class BenchError(Exception):
    """The bench cannot run, or a target does not answer."""


class MissingRival(BenchError):
    """A proxy to compare with is not installed. The report names it; the others are still measured."""

    def __init__(self, name: str, remedy: str) -> None:
        super().__init__(f"{name} is not installed: {remedy}")
        self.name = name
        self.remedy = remedy
