"""Smoke probes beside the reconciles: new pods that are slow to answer keep no cascade waiting for a worker.

A probe is asked in a task of its own until its answer is good or no plan wants to know it any more. An answer that
differs from the last one wakes the cascade, and the next reconcile finds it here. In memory alone: a new process asks
anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from disrouter_operator.smoke_probe import Answers, Smoke, SmokeProbe

AGAIN_SECONDS = 15.0
"""Between a bad answer and the same question."""
MOST = 64
"""Probes on their way at the same time; more wait, without a connection."""

K = TypeVar("K", bound=Hashable)

logger = logging.getLogger(__name__)


@dataclass
class _Running:
    """A probe under way: nothing in `answers` until there is one, then the newest alone."""

    answers: list[str | None] = field(default_factory=list)
    task: asyncio.Task[None] | None = None


class ProbeRunner(Generic[K]):
    """Asks for the cascades `K`; `wake` is told of one that has a new answer. Use it inside one event loop."""

    def __init__(
        self,
        wake: Callable[[K], None] = lambda _: None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._wake = wake
        self._sleep = sleep
        self._running: dict[K, dict[SmokeProbe, _Running]] = {}
        self._lines = asyncio.Semaphore(MOST)

    def answers(self, key: K) -> Answers:
        """What is known by now."""
        running = self._running.get(key, {})
        return {probe: each.answers[0] for probe, each in running.items() if each.answers}

    def ask(self, key: K, probes: Sequence[SmokeProbe], smoke: Smoke) -> None:
        """Begin what is not asked yet, and forget what is not to be asked any more."""
        known = self._running.pop(key, {})
        for probe in known.keys() - set(probes):
            _cancel(known[probe])
        if probes:
            self._running[key] = {each: known.get(each) or self._begin(key, each, smoke) for each in probes}

    def forget(self, key: K) -> None:
        """The cascade is gone, or asks nothing now."""
        for running in self._running.pop(key, {}).values():
            _cancel(running)

    async def close(self) -> None:
        """Ask nobody any more."""
        tasks = [
            running.task for known in self._running.values() for running in known.values() if running.task is not None
        ]
        for key in list(self._running):
            self.forget(key)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, key: K, probe: SmokeProbe, smoke: Smoke) -> _Running:
        running = _Running()
        running.task = asyncio.create_task(self._ask(key, probe, smoke, running), name=f"ask {probe.workload}")
        return running

    async def _ask(self, key: K, probe: SmokeProbe, smoke: Smoke, running: _Running) -> None:
        while True:
            async with self._lines:
                answer = await _answer(probe, smoke)
            if running.answers != [answer]:
                running.answers = [answer]
                self._wake(key)
            if answer is None:
                return
            await self._sleep(AGAIN_SECONDS)


async def _answer(probe: SmokeProbe, smoke: Smoke) -> str | None:
    try:
        return await smoke(probe)
    except Exception as error:  # a bug there must not leave a surge without an answer for ever
        logger.exception("asking %s failed", probe.workload)
        return f"the operator could not ask, which is a bug: {type(error).__name__}: {error}"


def _cancel(running: _Running) -> None:
    if running.task is not None:
        running.task.cancel()
