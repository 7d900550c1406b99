"""A keyed work queue: many wake-ups, one reconcile.

The rules are controller-runtime's. A key that is waiting is not added twice; a key that is being worked on is worked
on again afterwards, never at the same time; a failing key backs off alone, twice as long each time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from disrouter.backoff import Backoff
from disrouter.errors import DisrouterError

K = TypeVar("K", bound=Hashable)

logger = logging.getLogger(__name__)


class KeyedQueue(Generic[K]):
    """Feeds keys to `work`, which returns the seconds until it wants the key again, or None.

    `work` may raise: that is logged and the key is retried with backoff. `waited` is told how long each key waited for
    a worker, in seconds. Use it inside one event loop.
    """

    def __init__(
        self,
        work: Callable[[K], Awaitable[float | None]],
        *,
        backoff: Backoff | None = None,
        waited: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._work = work
        self._waited = waited
        self._backoff = backoff or Backoff()
        self._ready: asyncio.Queue[K] = asyncio.Queue()
        self._waiting: dict[K, float] = {}
        """Keys that wait for a worker, since when."""
        self._active: set[K] = set()
        self._again: set[K] = set()
        self._failures: dict[K, int] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._closed = False
        self._quiet = asyncio.Event()
        self._quiet.set()

    def add(self, key: K) -> None:
        """Have `key` worked on as soon as possible."""
        self._cancel_timer(key)
        if key in self._active:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting[key] = time.monotonic()
            self._ready.put_nowait(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Have `key` worked on in `seconds`; an earlier wake-up wins over a later one."""
        if seconds <= 0:
            self.add(key)
            return
        if key in self._waiting:
            return
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= loop.time() + seconds:
            return
        self._cancel_timer(key)
        self._timers[key] = loop.call_later(seconds, self.add, key)

    async def run(self, workers: int = 4) -> None:
        """Work until cancelled. At most `workers` keys are in progress, each at most once."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(self._worker())
        finally:
            for key in list(self._timers):
                self._cancel_timer(key)

    async def finish(self) -> None:
        """Begin no more work, and wait until what is in progress is done."""
        self._closed = True
        await self._quiet.wait()

    def idle(self) -> bool:
        """Whether nothing is waiting or in progress (timers aside)."""
        return not self._waiting and not self._active

    def depth(self) -> int:
        """Keys that wait for a worker."""
        return len(self._waiting)

    def failing(self) -> int:
        """Keys whose last attempt failed and that are tried again later."""
        return len(self._failures)

    async def _worker(self) -> None:
        while True:
            key = await self._ready.get()
            if self._closed:
                return
            self._waited(time.monotonic() - self._waiting.pop(key))
            self._active.add(key)
            self._quiet.clear()
            try:
                await self._attempt(key)
            finally:
                self._active.discard(key)
                if not self._active:
                    self._quiet.set()
            if key in self._again:
                self._again.discard(key)
                self.add(key)

    async def _attempt(self, key: K) -> None:
        try:
            again = await self._work(key)
        except Exception as error:  # whatever a reconcile raises, the other keys go on
            failures = self._failures.get(key, 0) + 1
            self._failures[key] = failures
            _log_failure(key, error)
            self.add_after(key, self._backoff.delay(failures))
            return
        self._failures.pop(key, None)
        if again is not None:
            self.add_after(key, max(again, 1e-3))

    def _cancel_timer(self, key: K) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()


def _log_failure(key: Hashable, error: Exception) -> None:
    """What we raise on purpose is one line; anything else is a bug and shows where."""
    known = isinstance(error, DisrouterError)
    logger.error("pass over %s failed: %s", key, error, exc_info=None if known else error)
