"""The probes and the page of the metrics.

`/healthz` asks whether a new process would help: it is red when work hangs here, never because the API server is away
or refuses us. `/readyz` asks whether the work can be done at all, and says what is missing (`readiness`).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from disrouter.listening import listening

STALE_SECONDS = 180.0
"""A reconcile takes at most a few requests of 30 s; a loop with work that did nothing for so long hangs."""


@dataclass
class Pulse:
    """When the loop last turned: a reconcile ended, a resync looked, or an attempt to lead ended.

    `idle` says that there is nothing to do: then silence is rest. `dead` says that watches stay dead although they
    could live, None if they do not.
    """

    monotonic: Callable[[], float] = time.monotonic
    stale_after: float = STALE_SECONDS
    idle: Callable[[], bool] = lambda: False
    dead: Callable[[], str | None] = lambda: None
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
        age = self.monotonic() - self._last
        if age > self.stale_after:
            return f"no reconcile ended for {age:.0f} s, although cascades wait for one"
        return self.dead()


def application(
    pulse: Pulse, registry: CollectorRegistry, unready: Callable[[], str | None] = lambda: None
) -> web.Application:
    """`/healthz` for the liveness probe, `/readyz` for the readiness probe, `/metrics` for Prometheus."""

    def probe(trouble: Callable[[], str | None]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(_: web.Request) -> web.Response:
            said = trouble()
            return web.Response(text="ok\n") if said is None else web.Response(status=503, text=f"{said}\n")

        return answer

    async def scrape(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    routes = {"/healthz": probe(pulse.trouble), "/readyz": probe(unready), "/metrics": scrape}
    app.add_routes([web.get(path, handler) for path, handler in routes.items()])
    return app


@asynccontextmanager
async def serve(app: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """Serve while the context lasts; yields the port, which matters when 0 was asked for."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.SockSite(runner, listening(host, port))
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
