"""The process: wires the parts, serves, and ends politely on SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import signal
import time

from aiohttp import web

from disrouter_sidecar.aio_client import AioUpstream
from disrouter_sidecar.aio_server import build_app
from disrouter_sidecar.config import Config
from disrouter_sidecar.health import Readiness
from disrouter_sidecar.metrics import Metrics
from disrouter_sidecar.service import Service
from disrouter_sidecar.table import RouteHolder

BACKLOG = 4096
_log = logging.getLogger(__name__)


async def serve(config: Config) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is in flight. Raises OSError when the port cannot be bound."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AioUpstream() as upstream:
        service = build_service(config, upstream)
        runner = build_runner(service, upstream)
        try:
            await runner.setup()
            await web.TCPSite(runner, config.host, config.port, backlog=BACKLOG).start()
            _log.info("serving", extra={"cascade": config.cascade, "agent": config.agent, "port": config.port})
            await stop.wait()
            service.draining = True
            _log.info("draining", extra={"agent": config.agent, "seconds": config.drain_seconds})
            await asyncio.sleep(config.linger_seconds)
        finally:
            await runner.cleanup()
    _log.info("stopped", extra={"agent": config.agent})


def build_service(config: Config, upstream: AioUpstream) -> Service:
    """One sidecar on the real clocks."""
    holder = RouteHolder(config.routes, config.cascade, time.time)
    metrics = Metrics(config.cascade, config.agent, holder)
    return Service(config, holder, metrics, upstream, time.monotonic)


def build_runner(service: Service, upstream: AioUpstream) -> web.AppRunner:
    """Handlers are cancelled when their client leaves; on clean-up those in flight get `drain_seconds`."""
    return web.AppRunner(
        build_app(service, Readiness(service, upstream, time.monotonic)),
        access_log=None,
        auto_decompress=False,
        handler_cancellation=True,
        shutdown_timeout=max(service.config.drain_seconds, 0.01),
    )
