"""The process: wires the parts, serves, and drains on SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

from disrouter_sidecar.app.endpoints import Endpoints
from disrouter_sidecar.app.health import Readiness
from disrouter_sidecar.app.service import Service
from disrouter_sidecar.cascade.fast_path.entry import FastPath
from disrouter_sidecar.config import Config
from disrouter_sidecar.http.client.upstream import HttpUpstream
from disrouter_sidecar.http.limits import Limits
from disrouter_sidecar.http.ports import Upstream
from disrouter_sidecar.http.server.listener import Listener
from disrouter_sidecar.mounted_files import POLL_SECONDS
from disrouter_sidecar.routes.reload import RouteHolder
from disrouter_sidecar.security.auth import Authenticator
from disrouter_sidecar.security.tls import Tls
from disrouter_sidecar.telemetry.logs import STANDARD, RequestLog
from disrouter_sidecar.telemetry.metrics import Metrics
from disrouter_sidecar.telemetry.tracing import OFF, Tracing

QUIET_SECONDS = 2.0
"""A client's connection at an agent that is not the entrypoint is closed once it has asked nothing for so long."""

_log = logging.getLogger(__name__)


async def serve(config: Config, tracing: Tracing = OFF, request_log: RequestLog = STANDARD) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is in flight. Raises OSError when the port cannot be bound."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(config, tracing, request_log) as (service, listener):
        await listener.start(config.host, config.port)
        _log.info("serving", extra={"cascade": config.cascade, "agent": config.agent, "port": config.port})
        await stop.wait()
        service.draining = True
        _log.info("draining", extra={"agent": config.agent, "seconds": config.drain_seconds})
        await asyncio.sleep(config.linger_seconds)
        await listener.stop(config.drain_seconds)
    _log.info("stopped", extra={"agent": config.agent})


@asynccontextmanager
async def running(
    config: Config, tracing: Tracing = OFF, request_log: RequestLog = STANDARD
) -> AsyncIterator[tuple[Service, Listener]]:
    """One sidecar with its table watched and its port still to be bound; at the end every connection is closed."""
    tls = None if config.tls is None else Tls(config.tls)
    async with HttpUpstream() as upstream, HttpUpstream(None if tls is None else tls.client) as hop_upstream:
        service = build_service(config, upstream, hop_upstream)
        service.tracing, service.request_log = tracing, request_log
        if tls is not None:
            service.watched.append(lambda: hop_upstream.pool.trust(tls.client) if tls.poll() else None)
        endpoints = Endpoints(service, Readiness(service, upstream, time.monotonic))
        limits = Limits(body=config.max_body_bytes)
        service.refresh()
        watch = asyncio.create_task(_watch(service))
        try:
            async with Listener(
                endpoints.routes(),
                limits,
                service.request_memory,
                service.closes,
                None if tls is None else tls.server,
            ) as listener:
                service.watched.append(partial(_retire, service, listener))
                if config.fast_path:
                    listener.site.fast_path = FastPath(service, upstream, hop_upstream)
                yield service, listener
        finally:
            watch.cancel()


def build_service(
    config: Config, upstream: Upstream, hop_upstream: Upstream, clock: Callable[[], float] = time.monotonic
) -> Service:
    """One sidecar on the real clocks. Raises InvalidConfig where its secrets cannot be read."""
    authenticator = Authenticator(config.api_keys, config.hop_token)
    holder = RouteHolder(config.routes, config.cascade, time.time)
    metrics = Metrics(config.cascade, config.agent, holder)
    return Service(config, holder, metrics, upstream, hop_upstream, authenticator, clock)


async def _watch(service: Service) -> None:
    """Poll the route table and the mounted secrets, and keep the engine's adapter the one that the table names."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_forever(service.neighbours.adapters.run))
        tasks.create_task(_forever(partial(_look, service)))


async def _look(service: Service) -> None:
    while True:
        service.neighbours.adapters.want(service.wanted_adapter())
        await asyncio.sleep(POLL_SECONDS)
        service.refresh()


def _retire(service: Service, listener: Listener) -> None:
    """Where queries enter elsewhere, let clients that keep a connection without need go there."""
    if not service.entered:
        listener.retire_clients(QUIET_SECONDS)


async def _forever(work: Callable[[], Awaitable[None]]) -> None:
    """Run work that never ends. An unexpected error is logged and does not end it."""
    while True:
        try:
            await work()
        except Exception:
            _log.exception("unexpected error in the background, which goes on")
            await asyncio.sleep(POLL_SECONDS)
