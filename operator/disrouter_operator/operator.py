"""The operator as a whole: election in front, then watches, queue and resync until told to stop."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from disrouter.listening import ANY_ADDRESS
from disrouter_operator.errors import REFUSED, KubeError
from disrouter_operator.kube.client import Kube
from disrouter_operator.kube.leader_election import Election
from disrouter_operator.kube.resource_versions import ResourceVersions
from disrouter_operator.kube.resources import CASCADES, Key, Resource
from disrouter_operator.readiness.assessment import Facts, Role
from disrouter_operator.readiness.monitor import Pod, ReadinessMonitor
from disrouter_operator.readiness.survey import Probe, Survey
from disrouter_operator.reconcile.listed_kinds import ListedKinds
from disrouter_operator.reconcile.probe_runner import ProbeRunner
from disrouter_operator.reconcile.reconciler import Memory, reconcile
from disrouter_operator.reconcile.referred_services import ReferredServices
from disrouter_operator.settings import Settings
from disrouter_operator.telemetry.metrics import Metrics
from disrouter_operator.telemetry.probes import Pulse, application, serve
from disrouter_operator.watch.supervisor import Watches
from disrouter_operator.watch.work_queue import KeyedQueue

FINISH_SECONDS = 20.0
"""Time for reconciles to end after SIGTERM; what is left of the pod's 30 s is for handing the lease back."""

RETRY_SECONDS = 5.0
"""Until a resync is tried again that could not list the cascades."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """How one operator process runs."""

    settings: Settings = field(default_factory=Settings)
    namespaces: tuple[str, ...] = ()
    """Empty: the whole cluster."""
    host: str = ANY_ADDRESS
    """The kubelet probes the pod's address, which may be of IPv6."""
    port: int = 8080
    resync_seconds: float = 300.0
    """Every cascade is looked at once in so long, whatever the watches say; spread evenly, so that none waits."""
    workers: int = 4
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)


class Operator:
    """Reconciles the cascades of a cluster.

    `kube` writes only while this replica leads (`api_server.py`); `versions` is told by `kube` of every version.
    `probe` asks what there is; `events` writes Events of the operator's own `pod`, who leads or not.
    """

    def __init__(
        self,
        kube: Kube,
        options: Options,
        election: Election | None = None,
        *,
        versions: ResourceVersions | None = None,
        metrics: Metrics | None = None,
        probe: Probe,
        events: Kube | None = None,
        pod: Pod | None = None,
    ) -> None:
        self._kube = kube
        self._options = options
        self._election = election
        self.metrics = metrics or Metrics()
        self._queue: KeyedQueue[Key] = KeyedQueue(self._reconcile, waited=self.metrics.waited.observe)
        versions = versions or ResourceVersions(options.namespaces)
        self._survey = Survey(probe, options.namespaces)
        listed = ListedKinds(self._absent)
        services = ReferredServices(self._queue.add)
        self._memory = Memory(probes=ProbeRunner(self._queue.add), listed=listed, services=services)
        self._watches = Watches(
            self._queue.add, versions, self._survey, self.metrics, options.namespaces, show=listed.shown
        )
        self._role, self._listed = Role.CANDIDATE, False
        self._lease_refused: str | None = None
        self.monitor = ReadinessMonitor(self._facts, self.metrics, versions.lag, events, pod)
        self.pulse = Pulse(idle=self._idle, dead=self.monitor.dead)
        self.metrics.watch_queue(self._queue, versions.lag)

    def _idle(self) -> bool:
        return self._role is Role.LEADER and self._queue.idle()

    def _absent(self) -> frozenset[Resource]:
        findings = self._survey.findings
        return findings.absent if findings is not None else frozenset()

    def _facts(self) -> Facts:
        return Facts(
            role=self._role,
            findings=self._survey.findings,
            lease_refused=self._lease_refused,
            listed=self._listed,
            closed=self._watches.streams.missing(),
            failure=self._watches.failure,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. Raises LeadershipLost when another replica took over."""
        app = application(self.pulse, self.metrics.registry, self.monitor.unready)
        async with serve(app, self._options.host, self._options.port):
            await _first(self._work(stop), self._survey.run(), self.monitor.run())

    async def _work(self, stop: asyncio.Event) -> None:
        if self._election is None:
            await self._lead(stop)
            return
        await _first(stop.wait(), self._election.acquire(self._waits))
        if stop.is_set():
            return
        await self._lead(stop, self._election.hold())
        await self._election.release()

    def _waits(self, error: KubeError | None) -> None:
        """Another replica leads, or the Lease cannot be had; either way this one lives."""
        self.pulse.beat()
        if error is None:
            self._role = Role.STANDBY
        self._lease_refused = error.answer if error is not None and error.status in REFUSED else None

    async def _lead(self, stop: asyncio.Event, *holding: Coroutine[Any, Any, None]) -> None:
        self._lead_is(True)
        held: list[asyncio.Task[Any]] = [asyncio.create_task(each) for each in holding]
        queue, services = self._queue.run(self._options.workers), self._memory.services.run(self._kube)
        works = [queue, self._resync(), self._watches.run(), services]
        tasks: list[asyncio.Task[Any]] = [
            *held,
            *(asyncio.create_task(work) for work in works),
            asyncio.create_task(stop.wait()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if done == {tasks[-1]}:
                done = await self._finish(held)
            for task in done:
                task.result()
        finally:
            self._lead_is(False)
            await _end(tasks)
            await self._memory.probes.close()

    def _lead_is(self, leading: bool) -> None:
        self._role = Role.LEADER if leading else Role.CANDIDATE
        self._lease_refused = None
        self.metrics.leading.set(leading)

    async def _finish(self, held: Sequence[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
        """Let the reconciles in progress end while the lease is held; returns what ended it first."""
        finishing = asyncio.create_task(self._queue.finish())
        logger.info("stopping: no new reconcile begins")
        done, _ = await asyncio.wait([finishing, *held], timeout=FINISH_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        await _end([finishing])
        return done

    async def _reconcile(self, key: Key) -> float | None:
        started = time.monotonic()
        result = "failed"
        self.pulse.beat()
        try:
            options = self._options
            again = await reconcile(self._kube, key, options.settings, options.clock, self._memory)
            result = "done"
        finally:
            self.metrics.reconciles.labels(result).inc()
            self.metrics.seconds.observe(time.monotonic() - started)
            self.pulse.beat()
        return again.after if again is not None else None

    async def _resync(self) -> None:
        """Look at every cascade now and then: what no watch told is found late, not never."""
        spread, said = 0.0, ""
        while True:
            await self._survey.usable()
            try:
                keys = [key for namespace in self._options.namespaces or (None,) for key in await self._keys(namespace)]
            except KubeError as error:
                if said != str(error):
                    logger.warning("resync: %s", error)
                said = str(error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self._listed, said = True, ""
            self.pulse.beat()
            for key in keys:
                self._queue.add_after(key, spread * random.random())
            spread = self._options.resync_seconds
            await asyncio.sleep(self._options.resync_seconds)

    async def _keys(self, namespace: str | None) -> list[Key]:
        found = await self._kube.list(CASCADES, namespace)
        return [Key(obj["metadata"]["namespace"], obj["metadata"]["name"]) for obj in found]


async def _first(*works: Coroutine[Any, Any, Any]) -> None:
    """Run all until the first ends. Its failure is raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await _end(tasks)


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
