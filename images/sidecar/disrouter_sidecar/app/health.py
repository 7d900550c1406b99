"""Whether this agent can take requests: it has a route table and a healthy engine, and is not draining."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from disrouter_sidecar.app.service import Service
from disrouter_sidecar.headers import lines
from disrouter_sidecar.http.ports import Upstream

CACHE_SECONDS = 1.0
"""The engine is probed at most this often, however often readiness is."""
PROBE_SECONDS = 2.0


class Readiness:
    """Reports what is missing. The engine's health is cached; a provider of which no address tells it is not probed."""

    def __init__(self, service: Service, upstream: Upstream, clock: Callable[[], float]) -> None:
        self._service = service
        self._upstream = upstream
        self._clock = clock
        self._head = lines(service.config.engine_bearer)
        self._healthy = False
        self._until = -1.0
        self._asking: asyncio.Task[None] | None = None

    async def problem(self) -> str | None:
        """Why no request should come here now; None when ready."""
        if self._service.draining:
            return "shutting down"
        if self._service.holder.current is None:
            return self._service.holder.problem
        url = self._service.config.health_url
        if url is not None and not await self._engine(url):
            return f"the engine at {self._service.config.engine_url} is not healthy: {url} does not say 200"
        return None

    def remarks(self) -> list[str]:
        """What is wrong though requests are served: a table that cannot be used, an adapter that cannot be loaded."""
        table, adapter = self._service.holder.problem, self._service.neighbours.adapters.problem
        kept = [] if table is None else [f"{table}; the table before it is kept"]
        return kept if adapter is None else [*kept, f"{adapter}; what was served before it is kept"]

    async def _engine(self, url: str) -> bool:
        """Whether it is healthy. Concurrent callers share one probe; a caller that is cancelled does not cancel it."""
        if self._asking is None and self._clock() >= self._until:
            self._asking = asyncio.create_task(self._ask(url))
        if self._asking is not None:
            await asyncio.shield(self._asking)
        return self._healthy

    async def _ask(self, url: str) -> None:
        try:
            self._healthy = await self._upstream.healthy(url, PROBE_SECONDS, self._head)
            self._until = self._clock() + CACHE_SECONDS
        finally:
            self._asking = None
