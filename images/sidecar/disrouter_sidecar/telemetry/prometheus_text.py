"""Counters, histograms and gauges for one thread, and the text in which Prometheus reads them.

A request touches a dozen of them, and locks would cost more than counting. The text is that of prometheus_client (a
test holds the two equal), which beside every replica would take 5 MiB: it brings an HTTP server and more.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Generic, TypeVar

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Child = TypeVar("Child")
_Sample = tuple[str, Mapping[str, str], float]
"""Name, labels, value."""


class Registry:
    """All families of one sidecar, in the order in which they were made."""

    def __init__(self) -> None:
        self._families: list[Family] = []

    def register(self, family: Family) -> None:
        """Show it from now on."""
        self._families.append(family)

    def render(self) -> bytes:
        """The exposition text."""
        return "".join(line for family in self._families for line in family.lines()).encode()


class Family:
    """One metric with a name, a help text and any number of samples."""

    def __init__(self, name: str, text: str, kind: str, registry: Registry) -> None:
        self._name, self._text, self._kind = name, text, kind
        registry.register(self)

    def samples(self) -> Iterator[_Sample]:
        """What it says now."""
        raise NotImplementedError

    def lines(self) -> Iterator[str]:
        """The same as text."""
        name = f"{self._name}_total" if self._kind == "counter" else self._name
        yield f"# HELP {name} {_escaped(self._text)}\n# TYPE {name} {self._kind}\n"
        for sample, labels, value in self.samples():
            pairs = ",".join(f'{key}="{_escaped(labels[key], quote=True)}"' for key in sorted(labels))
            yield f"{sample}{{{pairs}}} {_number(value)}\n" if pairs else f"{sample} {_number(value)}\n"


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
        for bound, count in zip([*map(_number, self._bounds), "+Inf"], self.counts, strict=True):
            seen += count
            rows.append((bound, seen))
        return rows


class _Labelled(Family, Generic[Child]):
    """Children by the values of their labels, made when first asked for."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], kind: str, *, registry: Registry, new: Callable[[], Child]
    ) -> None:
        super().__init__(name, text, kind, registry)
        self._new = new
        self._labels = labels
        self._children: dict[tuple[str, ...], Child] = {}
        if not labels:
            self.labels()

    def labels(self, *values: str) -> Child:
        """The child of these values; there are as many as the labels allow, so they are to be bounded."""
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = self._new()
        return child

    def children(self) -> Iterator[tuple[dict[str, str], Child]]:
        """Each with its labels."""
        for values, child in self._children.items():
            yield dict(zip(self._labels, map(str, values), strict=True)), child


class Counter(_Labelled[Count]):
    """A number for each set of labels that only grows; its samples are named `<name>_total`."""

    def __init__(self, name: str, text: str, labels: Sequence[str] = (), *, registry: Registry) -> None:
        super().__init__(name, text, labels, "counter", registry=registry, new=Count)

    def inc(self, amount: float = 1.0) -> None:
        """Add to the one child of a counter without labels."""
        self.labels().inc(amount)

    def samples(self) -> Iterator[_Sample]:
        """For the registry."""
        for labels, child in self.children():
            yield f"{self._name}_total", labels, child.value


class Histogram(_Labelled[Buckets]):
    """Values by size for each set of labels."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], *, buckets: Sequence[float], registry: Registry
    ) -> None:
        super().__init__(name, text, labels, "histogram", registry=registry, new=lambda: Buckets(tuple(buckets)))

    def samples(self) -> Iterator[_Sample]:
        """For the registry."""
        for labels, child in self.children():
            rows = child.cumulative()
            for bound, count in rows:
                yield f"{self._name}_bucket", {**labels, "le": bound}, count
            yield f"{self._name}_count", labels, rows[-1][1]
            yield f"{self._name}_sum", labels, child.total


class Gauge(Family):
    """A number that is asked for when it is read."""

    def __init__(
        self,
        name: str,
        text: str,
        read: Callable[[], float],
        labels: Mapping[str, str] = MappingProxyType({}),
        *,
        registry: Registry,
    ) -> None:
        super().__init__(name, text, "gauge", registry)
        self._read = read
        self._labels = labels

    def samples(self) -> Iterator[_Sample]:
        """For the registry."""
        yield self._name, self._labels, float(self._read())


def _escaped(text: str, *, quote: bool = False) -> str:
    text = text.replace("\\", r"\\").replace("\n", r"\n")
    return text.replace('"', r"\"") if quote else text


def _number(value: float) -> str:
    """As Go writes it: an exponent from a million on."""
    text = repr(float(value))
    point = text.find(".")
    if value > 0 and point > 6 and "e" not in text:
        digits = f"{text[0]}.{text[1:point]}{text[point + 1 :]}".rstrip("0.")
        return f"{digits}e+{point - 1:02d}"
    return text
