"""What the operator says of itself: Prometheus metrics, and a probe that proves that passes still run."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

STALE_SECONDS = 180.0
"""Three periodic resyncs: a loop that did nothing for so long hangs, whatever its HTTP task says."""


@dataclass
class Pulse:
    """When the control loop last got through a pass, a resync without cascades, or an attempt to lead."""

    monotonic: Callable[[], float] = time.monotonic
    stale_after: float = STALE_SECONDS
    _last: float = field(init=False)

    def __post_init__(self) -> None:
        self._last = self.monotonic()

    def beat(self) -> None:
        """The loop turned."""
        self._last = self.monotonic()

    def age(self) -> float:
        """Seconds since it last did."""
        return self.monotonic() - self._last


class Metrics:
    """Counters of one operator in a registry of its own. Every label is bounded."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.passes = Counter("disrouter_operator_passes", "Passes over a cascade", ["result"], registry=self.registry)
        self.seconds = Histogram("disrouter_operator_pass_seconds", "Duration of a pass", registry=self.registry)
        self.leading = Gauge("disrouter_operator_leading", "1 while this replica leads", registry=self.registry)


def application(pulse: Pulse, metrics: Metrics) -> web.Application:
    """`/healthz` for the liveness probe, `/readyz` (a waiting replica is ready too), `/metrics` for Prometheus."""

    async def healthz(_: web.Request) -> web.Response:
        age = pulse.age()
        if age > pulse.stale_after:
            return web.Response(status=503, text=f"no pass ran for {age:.0f} s\n")
        return web.Response(text=f"ok: the last pass ran {age:.0f} s ago\n")

    async def scrape(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.registry), content_type="text/plain")

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", healthz), web.get("/metrics", scrape)])
    return app


@asynccontextmanager
async def serve(app: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """Serve while the context lasts; yields the port, which matters when 0 was asked for."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
