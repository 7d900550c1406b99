"""Keeps the watches alive: starts them for the kinds that are installed, and starts them again when they die.

They run in a thread of their own (see `handlers.watch`). What they bring becomes wake-ups of the cascade in question.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from disrouter import names
from disrouter_operator import handlers
from disrouter_operator.errors import KubeError
from disrouter_operator.freshness import Freshness
from disrouter_operator.observe import CHILDREN, OPTIONAL, label
from disrouter_operator.reconcile import Key
from disrouter_operator.resources import CASCADES, Object, Resource

LATE_SECONDS = 60.0
"""A watch that owes something for so long is dead; a living one owes it for milliseconds."""
LOOK_SECONDS = 15.0
"""How often the watches are looked at, and how soon a CRD that is installed later is noticed."""
STOP_SECONDS = 15.0
"""Time for a watch to end before its thread is left to itself."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds before watches that died are started again; doubles while they die young."""

logger = logging.getLogger(__name__)

Serves = Callable[[Resource], Awaitable[bool]]
Watch = Callable[[handlers.Deliver, Collection[Resource], Sequence[str], threading.Event], Awaitable[None]]


class Report(Protocol):
    """Told what the watches do, for metrics."""

    def delivered(self, kind: str) -> None:
        """An object came."""

    def restarted(self, reason: str) -> None:
        """The watches are started again."""


@dataclass
class Watches:
    """`enqueue` is told of cascades to look at; `serves` says whether a kind of a CRD is installed."""

    enqueue: Callable[[Key], None]
    freshness: Freshness
    serves: Serves
    report: Report
    namespaces: Sequence[str] = ()
    look_seconds: float = LOOK_SECONDS
    late_seconds: float = LATE_SECONDS
    watch: Watch = handlers.watch
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _absent: frozenset[Resource] = field(default=frozenset(), init=False)

    async def run(self) -> None:
        """Watch until cancelled."""
        pause = FIRST_PAUSE
        loop = asyncio.get_running_loop()
        self._absent = await self._look()
        while True:
            started = loop.time()
            reason = await self._once()
            logger.warning("the watches are started again: %s", reason)
            self.report.restarted(reason.partition(":")[0])
            pause = FIRST_PAUSE if loop.time() - started > LONGEST_PAUSE else min(2 * pause, LONGEST_PAUSE)
            await self.sleep(pause)

    async def _once(self) -> str:
        """Watch until something is wrong; returns what."""
        kinds = [kind for kind in (CASCADES, *CHILDREN) if kind not in self._absent]
        self.freshness.restarted(kinds)
        stop = threading.Event()
        watching = asyncio.create_task(self._in_thread(kinds, stop))
        try:
            while True:
                done, _ = await asyncio.wait([watching], timeout=self.look_seconds)
                reason = _end(watching) if done else await self._trouble()
                if reason is not None:
                    return reason
        finally:
            stop.set()
            await asyncio.wait([watching], timeout=STOP_SECONDS)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _trouble(self) -> str | None:
        absent = await self._look()
        if absent != self._absent:
            came = sorted(kind.plural for kind in self._absent - absent)
            went = sorted(kind.plural for kind in absent - self._absent)
            self._absent = absent
            return f"kinds: installed: {', '.join(came) or 'none'}; removed: {', '.join(went) or 'none'}"
        late = self.freshness.late(self.late_seconds)
        return f"silence: the watch of {', '.join(late)} delivers nothing any more" if late else None

    async def _look(self) -> frozenset[Resource]:
        """Kinds that are not installed now; as before if the API server does not say."""
        try:
            return frozenset([kind for kind in (CASCADES, *OPTIONAL) if not await self.serves(kind)])
        except KubeError as error:
            logger.warning("cannot ask which kinds are installed: %s", error)
            return self._absent

    async def _in_thread(self, kinds: Collection[Resource], stop: threading.Event) -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        failure: list[BaseException] = []

        def deliver(kind: Resource, obj: Object) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._deliver, kind, _head(obj))

        def main() -> None:
            try:
                asyncio.run(_await(self.watch(deliver, kinds, self.namespaces, stop)))
            except BaseException as error:
                failure.append(error)
            finally:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=main, name="watches", daemon=True).start()
        await ended.wait()
        if failure:
            raise failure[0]

    def _deliver(self, kind: Resource, obj: Object) -> None:
        metadata = obj["metadata"]
        namespace = str(metadata.get("namespace"))
        self.freshness.delivered(kind, namespace, str(metadata.get("resourceVersion")))
        self.report.delivered(kind.plural)
        cascade = metadata.get("name") if kind == CASCADES else label(obj, names.LABEL_CASCADE)
        if cascade:
            self.enqueue(Key(namespace, str(cascade)))


async def _await(work: Awaitable[None]) -> None:
    await work


def _end(watching: asyncio.Task[None]) -> str:
    error = watching.exception()
    return f"failure: {type(error).__name__}: {error}"[:500] if error is not None else "end: they ended by themselves"


def _head(obj: Object) -> Object:
    """What a wake-up needs, so that no body outlives its event."""
    metadata = obj["metadata"]
    kept = {key: metadata.get(key) for key in ("namespace", "name", "resourceVersion")}
    return {"metadata": kept | {"labels": dict(metadata.get("labels") or {})}}
