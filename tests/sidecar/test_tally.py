"""Our counters read like prometheus_client's own."""

from __future__ import annotations

import prometheus_client as reference
from prometheus_client import CollectorRegistry, generate_latest

from disrouter_sidecar.tally import Counter, Histogram


def shown(registry: CollectorRegistry) -> list[str]:
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


def test_the_exposition_is_the_librarys_own() -> None:
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    bounds = (0.005, 0.25, 1, 60)
    reference_counter = reference.Counter("c", "Counts.", ("one", "two"), registry=theirs)
    counter = Counter("c", "Counts.", ("one", "two"), registry=ours)
    for values in (("a", "x"), ("a", "y"), ("a", "x")):
        reference_counter.labels(*values).inc(1.5)
        counter.labels(*values).inc(1.5)
    their_histogram = reference.Histogram("h", "Spreads.", ("one",), buckets=bounds, registry=theirs).labels("a")
    our_histogram = Histogram("h", "Spreads.", ("one",), buckets=bounds, registry=ours).labels("a")
    for value in (0.0, 0.005, 0.2, 0.25, 0.9, 1.0, 1.1, 60.0, 61.0):
        their_histogram.observe(value)
        our_histogram.observe(value)
    reference.Counter("plain", "No labels.", registry=theirs).inc()
    Counter("plain", "No labels.", registry=ours).inc()
    assert shown(ours) == shown(theirs)
