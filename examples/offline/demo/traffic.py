"""Requests that keep coming while the cascade changes, counted."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import httpx
from openai import OpenAI, OpenAIError

from disrouter.scenario import Scenario

from .asking import Reply, ask, ask_streamed
from .questions import Question


class Traffic:
    """Asks questions from two threads, one streamed and one whole, until it is left.

    The client does not retry, so a request that the cascade loses is seen.
    """

    def __init__(self, url: str, questions: Sequence[Question], pause: float = 0.25) -> None:
        self._client = OpenAI(base_url=url, api_key="unused", max_retries=0, timeout=60)
        self._questions = questions
        self._pause = pause
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(how,), daemon=True) for how in (ask, ask_streamed)]
        self.answered: Counter[str] = Counter()
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=70)
        self._client.close()

    @property
    def sent(self) -> int:
        """Requests that have ended, well or badly."""
        return self.answered.total() + len(self.failures)

    @property
    def summary(self) -> str:
        """How many requests were sent, how many failed, who answered."""
        shares = ", ".join(f"{name} {count}" for name, count in sorted(self.answered.items()))
        return f"{self.sent} requests sent throughout, {len(self.failures)} failed (answered by {shares})"

    def _run(self, how: Callable[[OpenAI, Question, Scenario], Reply]) -> None:
        """One request after another. Anything but an answer with its path is a failure."""
        scenarios = itertools.cycle(Scenario)
        for question in itertools.cycle(self._questions):
            if self._stop.wait(self._pause):
                return
            try:
                reply = how(self._client, question, next(scenarios))
            except (OpenAIError, httpx.HTTPError) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
            else:
                self.answered[reply.path.rsplit(" ", 1)[-1]] += 1
                if not reply.text:
                    self.failures.append(f"an empty answer by way of {reply.path}")
