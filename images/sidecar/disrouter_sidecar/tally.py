"""Counters and histograms for one thread: a request touches a dozen of them, and locks would cost more than counting.

The names and the arguments are prometheus_client's, which reads the numbers when it is asked for them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

Child = TypeVar("Child")


class Count:
    """One number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        """Add."""
        self.value += amount


class Buckets:
    """How many of the values seen lie under each bound, and their sum."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = [float(bound) for bound in bounds]
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Take one more value."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[tuple[str, float]]:
        """Prometheus' buckets: up to each bound, and up to infinity."""
        seen = 0.0
        rows: list[tuple[str, float]] = []
        for bound, count in zip([*map(str, self._bounds), "+Inf"], self.counts, strict=True):
            seen += count
            rows.append((bound, seen))
        return rows


class _Family(Collector, Generic[Child]):
    """Children by the values of their labels, made when first asked for."""

    def __init__(self, labels: Sequence[str], registry: CollectorRegistry, new: Callable[[], Child]) -> None:
        self._new = new
        self._labels = labels
        self._children: dict[tuple[str, ...], Child] = {}
        if not labels:
            self.labels()
        registry.register(self)

    def labels(self, *values: str) -> Child:
        """The child of these values; there are as many as the labels allow, so they are to be bounded."""
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = self._new()
        return child


class Counter(_Family[Count]):
    """`prometheus_client.Counter`, as far as it is used here."""

    def __init__(self, name: str, text: str, labels: Sequence[str] = (), *, registry: CollectorRegistry) -> None:
        self._name, self._text = name, text
        super().__init__(labels, registry, Count)

    def inc(self, amount: float = 1.0) -> None:
        """Add to the one child of a counter without labels."""
        self.labels().inc(amount)

    def collect(self) -> Iterator[Metric]:
        """For the registry."""
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for values, child in self._children.items():
            family.add_metric([str(value) for value in values], child.value)
        yield family


class Histogram(_Family[Buckets]):
    """`prometheus_client.Histogram`, as far as it is used here."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], *, buckets: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._name, self._text = name, text
        super().__init__(labels, registry, lambda: Buckets(tuple(buckets)))

    def collect(self) -> Iterator[Metric]:
        """For the registry."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for values, child in self._children.items():
            family.add_metric([str(value) for value in values], child.cumulative(), child.total)
        yield family
