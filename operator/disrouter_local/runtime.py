"""The whole platform in one process: store, operator's reconciles, controllers, node. `disrouter up` runs it."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from disrouter_local.node.node import Node
from disrouter_local.objects import Clock, key_of, utc_now
from disrouter_local.pods import engines
from disrouter_local.pods.pod import Host
from disrouter_local.ports import CONTAINER_PORTS, PortPool, ServicePorts
from disrouter_local.state import StateFolder
from disrouter_local.store import deployments, endpoint_slices, garbage, jobs
from disrouter_local.store.store import Store
from disrouter_operator.kube.resources import CASCADES, Key
from disrouter_operator.reconcile.probe_runner import ProbeRunner
from disrouter_operator.reconcile.reconciler import Memory, reconcile
from disrouter_operator.reconcile.smoke_http import over_http
from disrouter_operator.settings import Settings
from disrouter_operator.watch.work_queue import KeyedQueue

POLL_SECONDS = 0.1
"""How often the store's version is looked at: one small file."""
RESYNC_SECONDS = 10.0
"""A reconcile of every cascade at least this often."""
KEPT_LOGS = 100
"""Pods whose logs are kept over a restart of the runtime."""
SMALL_MACHINE = 4
"""Cores up to which every process is held to one thread, so that agents and training share the machine."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What `disrouter up` may be told."""

    volumes: Mapping[str, Path] = field(default_factory=dict)
    """Folder of a claim by its name."""
    max_jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Training Jobs at once."""


def build_host(state: StateFolder, options: Options, environ: Mapping[str, str], clock: Clock = utc_now) -> Host:
    """This machine as pods see it. Raises InvalidPod if the engine asked for is not installed."""
    inherited = dict(environ)
    if (os.cpu_count() or 1) <= SMALL_MACHINE:
        inherited.setdefault("OMP_NUM_THREADS", "1")
    return Host(
        pods=state.pods,
        logs=state.logs,
        claims=state.claims(options.volumes),
        engine=engines.detect(environ),
        ports=PortPool(CONTAINER_PORTS),
        jobs=asyncio.Semaphore(max(1, options.max_jobs)),
        clock=clock,
        environ=inherited,
    )


def prune_logs(logs: Path, keep: int = KEPT_LOGS) -> None:
    """Delete the logs of all but the newest pods."""
    folders = sorted((path for path in logs.glob("*") if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for folder in folders[: max(0, len(folders) - keep)]:
        shutil.rmtree(folder, ignore_errors=True)


class Runtime:
    """Runs until `stop` is called; then every process has ended."""

    def __init__(self, state: StateFolder, options: Options, clock: Clock = utc_now) -> None:
        self._state = state
        self._options = options
        self._clock = clock
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Ask for a clean end. Safe to call from a signal handler of the loop."""
        self._stop.set()

    async def run(self) -> None:
        """Hold the state folder and work. Raises AlreadyRunning at once if somebody else holds it."""
        volumes = {name: str(path) for name, path in self._options.volumes.items()}
        with self._state.held({"pid": os.getpid(), "volumes": volumes}):
            self._state.remember(self._options.volumes)
            shutil.rmtree(self._state.pods, ignore_errors=True)  # left by a runtime that was killed
            prune_logs(self._state.logs)
            host = build_host(self._state, self._options, os.environ, self._clock)
            logger.info("runtime %d on %s, engine %s", os.getpid(), self._state.root, host.engine.name)
            services = ServicePorts(self._state.ports)
            store = self._state.store()
            node = Node(store, host, services)
            try:
                await self._work(store, node, Settings(service_url=services.url, smoke=over_http))
            finally:
                await node.close()
                logger.info("stopped")

    async def _work(self, store: Store, node: Node, settings: Settings) -> None:
        async def one_pass(key: Key) -> float | None:
            again = await reconcile(store, key, settings, self._clock, memory)
            return again.after if again else None

        async def controllers() -> None:
            now = self._clock()
            await deployments.sync(store, now)
            await jobs.sync(store, now)
            await endpoint_slices.sync(store)
            await garbage.collect(store)

        queue: KeyedQueue[Key] = KeyedQueue(one_pass)
        memory = Memory(probes=ProbeRunner(queue.add))
        tasks = [
            asyncio.create_task(node.run(also=controllers), name="node"),
            asyncio.create_task(queue.run(), name="reconciles"),
            asyncio.create_task(self._watch(store, node, queue), name="watch"),
            asyncio.create_task(self._stop.wait(), name="stop"),
        ]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        await memory.probes.close()
        for task in done:
            task.result()

    async def _watch(self, store: Store, node: Node, queue: KeyedQueue[Key]) -> None:
        """Turn every change of the store, by whomever, into wake-ups."""
        loop = asyncio.get_running_loop()
        seen, last = -1, 0.0
        while True:
            if store.version != seen or loop.time() - last > RESYNC_SECONDS:
                seen, last = store.version, loop.time()
                node.wake()
                for cascade in await store.list(CASCADES, None):
                    queue.add(Key(*key_of(cascade)))
            await asyncio.sleep(POLL_SECONDS)
