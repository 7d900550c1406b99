"""Our counters read like prometheus_client's own."""

from __future__ import annotations

from functools import partial

import prometheus_client as reference
from prometheus_client import CollectorRegistry, generate_latest

from disrouter_sidecar.telemetry.prometheus_text import Counter, Gauge, Histogram, Registry

NUMBERS = (0.0, 0.1, 1.0, 999_999.0, 1_000_000.0, 1_234_567.5, 12_345_678_901.0, 1e21, 1e-7, float(2**53))


def shown(text: bytes) -> list[str]:
    return [line for line in text.decode().splitlines() if "_created" not in line]


def test_the_exposition_is_the_librarys_own() -> None:
    theirs, ours = CollectorRegistry(), Registry()
    bounds = (0.005, 0.25, 1, 60)
    reference_counter = reference.Counter("c", "Counts \\ all\nof it.", ("one", "two"), registry=theirs)
    counter = Counter("c", "Counts \\ all\nof it.", ("one", "two"), registry=ours)
    for values in (("a", "x"), ("a", 'y"\\\n'), ("a", "x")):
        reference_counter.labels(*values).inc(1.5)
        counter.labels(*values).inc(1.5)
    their_histogram = reference.Histogram("h", "Spreads.", ("one",), buckets=bounds, registry=theirs).labels("a")
    our_histogram = Histogram("h", "Spreads.", ("one",), buckets=bounds, registry=ours).labels("a")
    for value in (0.0, 0.005, 0.2, 0.25, 0.9, 1.0, 1.1, 60.0, 61.0):
        their_histogram.observe(value)
        our_histogram.observe(value)
    reference.Counter("plain", "No labels.", registry=theirs).inc()
    Counter("plain", "No labels.", registry=ours).inc()
    for place, number in enumerate(NUMBERS):
        reference.Gauge(f"g{place}", "A number.", registry=theirs).set(number)
        Gauge(f"g{place}", "A number.", partial(float, number), registry=ours)
    reference.Gauge("labelled", "Of somebody.", ("one",), registry=theirs).labels("a").set(3)
    Gauge("labelled", "Of somebody.", lambda: 3, {"one": "a"}, registry=ours)
    assert shown(ours.render()) == shown(generate_latest(theirs))
