"""The probe: 200 only while work gets done, whatever the HTTP task itself says; and the page of the metrics."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

STALE_SECONDS = 180.0
"""A pass takes at most a few requests of 30 s; a loop with work that did nothing for so long hangs."""


@dataclass
class Pulse:
    """When the loop last turned: a pass ended, a resync looked, or an attempt to lead got an answer.

    `idle` says that there is nothing to do: then silence is rest. `lag` is how long a watch owes what a pass has read
    (`Freshness.lag`): it is started again long before `stale_after`, so a lag of that length says that this is no cure.
    """

    monotonic: Callable[[], float] = time.monotonic
    stale_after: float = STALE_SECONDS
    idle: Callable[[], bool] = lambda: False
    lag: Callable[[], float] = lambda: 0.0
    _last: float = field(init=False)

    def __post_init__(self) -> None:
        self._last = self.monotonic()

    def beat(self) -> None:
        """The loop turned."""
        self._last = self.monotonic()

    def trouble(self) -> str | None:
        """What is wrong, None if nothing is."""
        if self.idle():
            self.beat()
        age, lag = self.monotonic() - self._last, self.lag()
        if age > self.stale_after:
            return f"no pass ended for {age:.0f} s, although cascades wait for one"
        if lag > self.stale_after:
            return f"a watch has been silent for {lag:.0f} s about changes that passes have read"
        return None


def application(pulse: Pulse, registry: CollectorRegistry) -> web.Application:
    """`/healthz` for the liveness probe, `/readyz` (a waiting replica is ready too), `/metrics` for Prometheus."""

    async def healthz(_: web.Request) -> web.Response:
        trouble = pulse.trouble()
        return web.Response(text="ok\n") if trouble is None else web.Response(status=503, text=f"{trouble}\n")

    async def scrape(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

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
