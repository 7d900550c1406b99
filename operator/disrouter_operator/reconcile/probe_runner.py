"""Smoke questions beside the passes: new pods that keep their answer back keep no cascade waiting for a worker.

A question is asked in a task of its own until its answer is good or no pass wants to know it any more. An answer that
differs from the last one wakes the cascade, and the next pass finds it here. In memory alone: a new process asks anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from disrouter_operator.smoke_probe import Answers, Question, Smoke

AGAIN_SECONDS = 15.0
"""Between a bad answer and the same question."""
MOST = 64
"""Questions on their way at the same time; more wait, without a connection."""

K = TypeVar("K", bound=Hashable)

logger = logging.getLogger(__name__)


@dataclass
class _Asked:
    """A question: nothing in `answers` until there is one, then the newest alone."""

    answers: list[str | None] = field(default_factory=list)
    task: asyncio.Task[None] | None = None


class Inquiries(Generic[K]):
    """Asks for the cascades `K`; `wake` is told of one that has a new answer. Use it inside one event loop."""

    def __init__(
        self,
        wake: Callable[[K], None] = lambda _: None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._wake = wake
        self._sleep = sleep
        self._asked: dict[K, dict[Question, _Asked]] = {}
        self._lines = asyncio.Semaphore(MOST)

    def answers(self, key: K, questions: Sequence[Question], smoke: Smoke) -> Answers:
        """What is known by now, by workload. Begins what is not asked yet, and forgets what is not asked any more."""
        known = self._asked.pop(key, {})
        for question in known.keys() - set(questions):
            _cancel(known[question])
        kept = {each: known.get(each) or self._begin(key, each, smoke) for each in questions}
        if kept:
            self._asked[key] = kept
        return {question.workload: asked.answers[0] for question, asked in kept.items() if asked.answers}

    def forget(self, key: K) -> None:
        """The cascade is gone, or asks nothing now."""
        for asked in self._asked.pop(key, {}).values():
            _cancel(asked)

    async def close(self) -> None:
        """Ask nobody any more."""
        tasks = [asked.task for known in self._asked.values() for asked in known.values() if asked.task is not None]
        for key in list(self._asked):
            self.forget(key)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, key: K, question: Question, smoke: Smoke) -> _Asked:
        asked = _Asked()
        asked.task = asyncio.create_task(self._ask(key, question, smoke, asked), name=f"ask {question.workload}")
        return asked

    async def _ask(self, key: K, question: Question, smoke: Smoke, asked: _Asked) -> None:
        while True:
            async with self._lines:
                answer = await _answer(question, smoke)
            if asked.answers != [answer]:
                asked.answers = [answer]
                self._wake(key)
            if answer is None:
                return
            await self._sleep(AGAIN_SECONDS)


async def _answer(question: Question, smoke: Smoke) -> str | None:
    try:
        return await smoke(question)
    except Exception as error:  # a bug there must not leave a surge without an answer for ever
        logger.exception("asking %s failed", question.workload)
        return f"the operator could not ask, which is a bug: {type(error).__name__}: {error}"


def _cancel(asked: _Asked) -> None:
    if asked.task is not None:
        asked.task.cancel()
