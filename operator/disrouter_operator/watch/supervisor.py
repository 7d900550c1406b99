"""Keeps the watches alive: starts them for the kinds that are installed, and starts them again when they die.

They run in a thread of their own (see `kopf_watch.watch`). What they bring becomes wake-ups of the cascade in question.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from disrouter import names
from disrouter.backoff import Backoff
from disrouter_operator.kube.observed import CHILDREN, label
from disrouter_operator.kube.resource_versions import ResourceVersions, Scope
from disrouter_operator.kube.resources import CASCADES, Key, Object, Resource
from disrouter_operator.readiness.assessment import SurveyResult
from disrouter_operator.readiness.open_watches import Closed, OpenWatches
from disrouter_operator.watch import kopf_watch
from disrouter_operator.watch.sessions import Observe

LATE_SECONDS = 30.0
"""A watch that owes something for so long, or is not open although the API server answers, is started again."""
LOOK_SECONDS = 5.0
"""How often the watches are looked at."""
STOP_SECONDS = 15.0
"""Time for a watch to end before its thread is left to itself."""
FAILURES = ("failure", "end", "closed")
"""Reasons that waiting may not cure; the others are the cure of something else."""
RESTARTS = Backoff(first=2.0, longest=30.0)
"""Before watches that died are started again; starts anew once they have lived longer than the longest wait."""

logger = logging.getLogger(__name__)

Watch = Callable[[kopf_watch.Deliver, Observe, Collection[Resource], Sequence[str], threading.Event], Awaitable[None]]


class Surveyed(Protocol):
    """What is known of the cluster (`survey.py`)."""

    @property
    def findings(self) -> SurveyResult | None:
        """Of the last look."""

    async def usable(self) -> SurveyResult:
        """Wait until the operator can work with what is found."""


class Report(Protocol):
    """Told what the watches do, for metrics."""

    def delivered(self, kind: str) -> None:
        """An object came."""

    def restarted(self, reason: str) -> None:
        """The watches are started again."""


@dataclass
class Watches:
    """`enqueue` is told of cascades to look at, and `show` before that of the kind that moved. Nothing is watched while
    the survey finds that it would be in vain."""

    enqueue: Callable[[Key], None]
    versions: ResourceVersions
    survey: Surveyed
    report: Report
    namespaces: Sequence[str] = ()
    look_seconds: float = LOOK_SECONDS
    late_seconds: float = LATE_SECONDS
    watch: Watch = kopf_watch.watch
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    show: Callable[[Key, Resource], None] = lambda *_: None
    streams: OpenWatches = field(default_factory=OpenWatches, init=False)
    """Of the last start."""
    failure: str | None = field(default=None, init=False)
    """What ended the watches last; None once they are open again, or where that was on purpose."""
    _unwatched: frozenset[Resource] = field(default=frozenset(), init=False)
    _closed_since: float | None = field(default=None, init=False)

    async def run(self) -> None:
        """Watch until cancelled."""
        failures = 0
        loop = asyncio.get_running_loop()
        while True:
            self._unwatched = (await self.survey.usable()).unwatched
            started = loop.time()
            reason = await self._once()
            logger.log(self._level(reason), "the watches are started again: %s", reason)
            self.failure = reason if reason.startswith(FAILURES) else None
            self.report.restarted(reason.partition(":")[0])
            failures = 1 if loop.time() - started > RESTARTS.longest else failures + 1
            await self.sleep(RESTARTS.delay(failures))

    def _level(self, reason: str) -> int:
        """One line per cause: while the same failure comes back, `readiness` and the metric tell of it."""
        if reason == self.failure:
            return logging.DEBUG
        return logging.INFO if reason.startswith("kinds") else logging.WARNING

    async def _once(self) -> str:
        """Watch until something is wrong; returns what."""
        kinds = [kind for kind in (CASCADES, *CHILDREN) if kind not in self._unwatched]
        self.versions.restarted(kinds)
        self.streams, self._closed_since = OpenWatches(kinds, self.namespaces, self.streams), None
        stop = threading.Event()
        watching = asyncio.create_task(self._in_thread(kinds, self.streams, stop))
        try:
            while True:
                done, _ = await asyncio.wait([watching], timeout=self.look_seconds)
                reason = _end(watching) if done else self._trouble()
                if reason is not None:
                    return reason
        finally:
            stop.set()
            await asyncio.wait([watching], timeout=STOP_SECONDS)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            self.streams = OpenWatches(kinds, self.namespaces, self.streams)

    def _trouble(self) -> str | None:
        findings = self.survey.findings or SurveyResult()
        if findings.away is not None:
            self._closed_since = None
            return None
        if findings.unwatched != self._unwatched:
            came = sorted(kind.plural for kind in self._unwatched - findings.unwatched)
            went = sorted(kind.plural for kind in findings.unwatched - self._unwatched)
            return f"kinds: installed: {', '.join(came) or 'none'}; removed: {', '.join(went) or 'none'}"
        late = self.versions.late(self.late_seconds)
        if late:
            return f"silence: the watch of {', '.join(late)} delivers nothing any more"
        return self._closed()

    def _closed(self) -> str | None:
        """What Kopf does not open again by itself, although the API server answers us."""
        closed, now = self.streams.missing(), asyncio.get_running_loop().time()
        if not closed:
            self._closed_since = self.failure = None
            return None
        if self._closed_since is None:
            self._closed_since = now
        if now - self._closed_since < self.late_seconds:
            return None
        why = next((each.why for each in closed.values() if each.why), "no answer")
        return f"closed: the watch of {', '.join(sorted(kind.plural for kind in closed))} is not open: {why}"

    async def _in_thread(self, kinds: Collection[Resource], streams: OpenWatches, stop: threading.Event) -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        failure: list[BaseException] = []

        def in_loop(call: Callable[..., None], *arguments: object) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(call, *arguments)

        def deliver(kind: Resource, obj: Object) -> None:
            in_loop(self._deliver, kind, _head(obj))

        def observe(scope: Scope, closed: Closed | None) -> None:
            in_loop(streams.note, scope, closed)

        def main() -> None:
            try:
                asyncio.run(_await(self.watch(deliver, observe, kinds, self.namespaces, stop)))
            except BaseException as error:
                failure.append(error)
            finally:
                in_loop(ended.set)

        threading.Thread(target=main, name="watches", daemon=True).start()
        await ended.wait()
        if failure:
            raise failure[0]

    def _deliver(self, kind: Resource, obj: Object) -> None:
        metadata = obj["metadata"]
        namespace = str(metadata.get("namespace"))
        self.versions.delivered(kind, namespace, str(metadata.get("resourceVersion")))
        self.report.delivered(kind.plural)
        cascade = metadata.get("name") if kind == CASCADES else label(obj, names.LABEL_CASCADE)
        if cascade:
            key = Key(namespace, str(cascade))
            self.show(key, kind)
            self.enqueue(key)


async def _await(work: Awaitable[None]) -> None:
    await work


def _end(watching: asyncio.Task[None]) -> str:
    error = watching.exception()
    if error is None:
        return "end: they ended by themselves"
    words = error.args[0] if error.args else ""  # Kopf's errors carry the whole answer besides
    return f"failure: {type(error).__name__}: {words}"[:500]


def _head(obj: Object) -> Object:
    """What a wake-up needs, so that no body outlives its event."""
    metadata = obj["metadata"]
    kept = {key: metadata.get(key) for key in ("namespace", "name", "resourceVersion")}
    return {"metadata": kept | {"labels": dict(metadata.get("labels") or {})}}
