"""Requests that keep coming while the cascade changes, counted."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from openai import OpenAI, OpenAIError

from .questions import Question


class Traffic:
    """Asks questions one after another from a thread of its own until it is left.

    The client does not retry, so a request that the cascade loses is seen.
    """

    def __init__(self, url: str, questions: Sequence[Question], pause: float = 0.25) -> None:
        self._client = OpenAI(base_url=url, api_key="unused", max_retries=0, timeout=60)
        self._questions = questions
        self._pause = pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self.answered: Counter[str] = Counter()
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(timeout=70)
        self._client.close()

    @property
    def summary(self) -> str:
        """How many requests were sent, how many failed, who answered."""
        total = self.answered.total() + len(self.failures)
        shares = ", ".join(f"{name} {count}" for name, count in sorted(self.answered.items()))
        return f"{total} requests sent throughout, {len(self.failures)} failed (answered by {shares})"

    def _run(self) -> None:
        for question in itertools.cycle(self._questions):
            if self._stop.wait(self._pause):
                return
            try:
                raw = self._client.chat.completions.with_raw_response.create(
                    model="tiny", messages=[{"role": "user", "content": question.prompt}], max_tokens=64, temperature=0
                )
            except OpenAIError as error:
                self.failures.append(f"{type(error).__name__}: {error}")
            else:
                self.answered[raw.headers.get("x-disrouter-agent", "?")] += 1
