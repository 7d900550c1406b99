"""The operator as a whole: election in front, then watches, queue and resync until told to stop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from disrouter_operator import handlers
from disrouter_operator.convergence import Convergence
from disrouter_operator.errors import KubeError
from disrouter_operator.kube import Kube
from disrouter_operator.leader import Election
from disrouter_operator.metrics import Metrics, Pulse, application, serve
from disrouter_operator.queue import KeyedQueue
from disrouter_operator.reconcile import Key, reconcile
from disrouter_operator.resources import CASCADES
from disrouter_operator.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """How one operator process runs."""

    settings: Settings = field(default_factory=Settings)
    namespaces: tuple[str, ...] = ()
    """Empty: the whole cluster."""
    host: str = "0.0.0.0"  # noqa: S104  the kubelet probes the pod's address
    port: int = 8080
    resync_seconds: float = 60.0
    workers: int = 4
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)


class Operator:
    """Runs passes over the cascades of a cluster."""

    def __init__(self, kube: Kube, options: Options, election: Election | None = None) -> None:
        self._kube = kube
        self._options = options
        self._election = election
        self.pulse = Pulse()
        self.metrics = Metrics()
        self._convergence = Convergence()
        self._queue: KeyedQueue[Key] = KeyedQueue(self._pass)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. Raises LeadershipLost when another replica took over."""
        app = application(self.pulse, self.metrics)
        async with serve(app, self._options.host, self._options.port):
            if self._election is None:
                await self._lead(stop)
                return
            await _until(stop, self._election.acquire(self.pulse.beat))
            if stop.is_set():
                return
            await self._lead(stop, self._election.hold())
            await self._election.release()

    async def _lead(self, stop: asyncio.Event, *others: Coroutine[Any, Any, None]) -> None:
        self.metrics.leading.set(1)
        try:
            await _until(
                stop,
                self._queue.run(self._options.workers),
                self._resync(),
                handlers.watch(self._queue.add, self._options.namespaces, stop),
                *others,
            )
        finally:
            self.metrics.leading.set(0)

    async def _pass(self, key: Key) -> float | None:
        started = time.monotonic()
        result = "failed"
        try:
            options = self._options
            again = await reconcile(self._kube, key, options.settings, options.clock, self._convergence)
            result = "done"
        finally:
            self.metrics.passes.labels(result).inc()
            self.metrics.seconds.observe(time.monotonic() - started)
            self.pulse.beat()
        return again.after if again is not None else None

    async def _resync(self) -> None:
        """Look at every cascade now and then: a watch that died silently costs a minute, not a day."""
        while True:
            try:
                keys = [key for namespace in self._options.namespaces or (None,) for key in await self._keys(namespace)]
            except KubeError as error:
                logger.warning("resync: %s", error)
            else:
                for key in keys:
                    self._queue.add(key)
                if not keys:
                    self.pulse.beat()
            await asyncio.sleep(self._options.resync_seconds)

    async def _keys(self, namespace: str | None) -> list[Key]:
        found = await self._kube.list(CASCADES, namespace)
        return [Key(obj["metadata"]["namespace"], obj["metadata"]["name"]) for obj in found]


async def _until(stop: asyncio.Event, *works: Coroutine[Any, Any, None]) -> None:
    """Run `works` until one ends or `stop` is set; then end them all. The first failure is raised."""
    tasks = [asyncio.create_task(work) for work in (*works, stop.wait())]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
