"""From samples to numbers: per-round values, ratios within a round, medians and ranges. Pure functions."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bench.samples import Sample
from bench.workloads import WORKLOADS, Unit

Metric = Callable[[Sample], float | None]
Round = dict[str, Sample]
"""Samples of one workload and one round, by target."""


@dataclass(frozen=True)
class Spread:
    """Median, lowest and highest of some rounds."""

    median: float
    low: float
    high: float
    count: int


def spread(values: Iterable[float]) -> Spread | None:
    """None without values."""
    found = list(values)
    return Spread(statistics.median(found), min(found), max(found), len(found)) if found else None


def rounds(samples: Iterable[Sample], workload: str) -> list[Round]:
    """Usable samples by round: a target that gave a wrong answer, or none, is left out of its round."""
    found: dict[int, Round] = {}
    for sample in samples:
        if sample.workload == workload and not sample.failed and sample.answered:
            found.setdefault(sample.round, {})[sample.target] = sample
    return [found[number] for number in sorted(found)]


def cpu_us(sample: Sample) -> float | None:
    """CPU microseconds per request or token, as the workload counts."""
    units = sample.tokens if WORKLOADS[sample.workload].unit is Unit.TOKEN else sample.answered
    return sample.cpu_seconds / units * 1e6 if units else None


def requests_per_s(sample: Sample) -> float | None:
    return sample.requests_per_s or None


def tokens_per_s(sample: Sample) -> float | None:
    return sample.tokens_per_s or None


def first_token_us(sample: Sample) -> float | None:
    return sample.first_token_us


def token_delay_us(sample: Sample) -> float | None:
    return sample.token_delay_us


def values(found: Iterable[Round], target: str, metric: Metric) -> list[float]:
    """One value a round in which the target has one."""
    return _known(_value(one, target, metric) for one in found)


def ratios(found: Iterable[Round], target: str, base: str, metric: Metric) -> list[float]:
    """Target over base, each within its round, so that a slow moment of the machine cancels out."""
    pairs = [(_value(one, target, metric), _value(one, base, metric)) for one in found]
    return [above / below for above, below in pairs if above is not None and below]


def added(found: Iterable[Round], target: str, metric: Metric) -> list[float]:
    """What the target adds to a direct call, within the round."""
    return _known(_added_by(one, target, metric) for one in found)


def added_ratios(found: Iterable[Round], target: str, base: str, metric: Metric) -> list[float]:
    """What the target adds over what the base adds, within the round."""
    return _known(_over(_added_by(one, target, metric), _added_by(one, base, metric)) for one in found)


def refused_hops_us(found: Iterable[Round], metric: Metric) -> list[float]:
    """Microseconds that one refused agent costs: a chain of three, two of which refuse, less one that answers, halved.

    It holds all of it: the sidecar, its engine's saying no, and the way to the next agent.
    """
    return _known(_refused_hop(one, metric) for one in found)


def refused_hop_ratios(found: Iterable[Round], metric: Metric) -> list[float]:
    """A refused agent over a request through nginx, within the round."""
    return _known(_over(_refused_hop(one, metric), _value(one, "nginx", metric)) for one in found)


def slope(points: list[tuple[float, float]]) -> float:
    """Theil-Sen estimate of a straight line's slope: the median over all pairs, which a few odd points cannot move."""
    pairs = ((a, b) for index, a in enumerate(points) for b in points[index + 1 :])
    return statistics.median([(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairs if b[0] != a[0]] or [0.0])


def _value(one: Round, target: str, metric: Metric) -> float | None:
    return metric(one[target]) if target in one else None


def _difference(one: Round, target: str, base: str, metric: Metric) -> float | None:
    above, below = _value(one, target, metric), _value(one, base, metric)
    return None if above is None or below is None else above - below


def _added_by(one: Round, target: str, metric: Metric) -> float | None:
    return _difference(one, target, "direct", metric)


def _refused_hop(one: Round, metric: Metric) -> float | None:
    both = _difference(one, "chain", "sidecar", metric)
    return None if both is None else both / 2


def _over(above: float | None, below: float | None) -> float | None:
    """A ratio, where both are known and the second is more than nothing."""
    return None if above is None or below is None or below <= 0 else above / below


def _known(found: Iterable[float | None]) -> list[float]:
    return [value for value in found if value is not None]
