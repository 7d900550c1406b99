"""What the operator says of itself, for Prometheus. Every label is bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_CALL = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_WAIT = (0.005, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 300)


class Depths(Protocol):
    """The work queue, as far as it is measured."""

    def depth(self) -> int:
        """Keys that wait."""

    def failing(self) -> int:
        """Keys that failed last time."""


class Metrics:
    """Counters of one operator in a registry of its own. docs/operations.md says what they tell."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        known = self.registry
        name = "disrouter_operator"
        self.reconciles = Counter(f"{name}_reconciles", "Reconciles of a cascade", ["result"], registry=known)
        self.seconds = Histogram(
            f"{name}_reconcile_seconds", "Duration of a reconcile", buckets=_BUCKETS, registry=known
        )
        self.waited = Histogram(
            f"{name}_queue_wait_seconds", "From a wake-up to the start of its reconcile", buckets=_WAIT, registry=known
        )
        self.ready = Gauge(f"{name}_ready", "1 while /readyz answers 200", registry=known)
        self.problem = Gauge(
            f"{name}_problem", "1 while something is missing or wrong", ["reason", "kind"], registry=known
        )
        self.leading = Gauge(f"{name}_leading", "1 while this replica leads", registry=known)
        self.calls = Counter(
            f"{name}_api_requests", "Requests to the API server", ["verb", "resource", "code"], registry=known
        )
        self.call_seconds = Histogram(
            f"{name}_api_request_seconds",
            "Duration of a request",
            ["verb"],
            buckets=_CALL,
            registry=known,
        )
        self.held = Counter(f"{name}_api_throttled_seconds", "Time that requests were held back here", registry=known)
        self.woken = Counter(f"{name}_watch_events", "Objects that the watches brought", ["kind"], registry=known)
        self.watch_restarts = Counter(f"{name}_watch_restarts", "Watches started again", ["reason"], registry=known)

    def call(self, verb: str, resource: str, status: int, seconds: float, held: float) -> None:
        """A request to the API server ended; status 0: no answer."""
        self.calls.labels(verb, resource, str(status) if status else "none").inc()
        self.call_seconds.labels(verb).observe(seconds)
        self.held.inc(held)

    def delivered(self, kind: str) -> None:
        """A watch brought an object."""
        self.woken.labels(kind).inc()

    def restarted(self, reason: str) -> None:
        """The watches are started again."""
        self.watch_restarts.labels(reason).inc()

    def set_readiness(self, *, ready: bool, problems: Iterable[tuple[str, str]]) -> None:
        """Whether this replica can work, and what is missing: reason and kind (empty: of no kind)."""
        self.ready.set(ready)
        self.problem.clear()
        for reason, kind in problems:
            self.problem.labels(reason, kind).set(1)

    def watch_queue(self, queue: Depths, lag: Callable[[], float]) -> None:
        """Measure these whenever somebody asks."""
        name = "disrouter_operator"
        known = self.registry
        Gauge(f"{name}_queue_depth", "Cascades that wait for a reconcile", registry=known).set_function(queue.depth)
        failing = Gauge(f"{name}_queue_failing", "Cascades whose last reconcile failed", registry=known)
        failing.set_function(queue.failing)
        Gauge(
            f"{name}_watch_lag_seconds", "How long a watch owes something that a reconcile has read", registry=known
        ).set_function(lag)
