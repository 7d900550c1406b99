"""A sign of life: whoever watches hears within seconds what is being done, and is never left in silence for long.

Loading a model or generating a shard on a CPU takes minutes in which nothing else is said. A thread of its own repeats
the last line with the time that has passed.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from disrouter_training.process.progress import Clock, Say, duration

SILENCE_SECONDS = 30.0
"""After which the last line is said again."""


class Heartbeat:
    """Says lines, and while it is entered also that the last one still holds."""

    def __init__(self, say: Say, clock: Clock = time.monotonic, silence: float = SILENCE_SECONDS) -> None:
        self._say, self._clock, self._silence = say, clock, silence
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None
        self._line = ""
        self._since = self._heard = clock()

    def __call__(self, line: str) -> None:
        """Say a line; what it tells of is what is being done from now on."""
        with self._lock:
            self._line, self._since = line, self._clock()
            self._heard = self._since
            self._say(line)

    def beat(self) -> None:
        """Say the last line again if nothing was heard for a while."""
        with self._lock:
            now = self._clock()
            if self._line and now - self._heard >= self._silence:
                self._heard = now
                self._say(f"{self._line} ({duration(now - self._since)} ago; still at work)")

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch, name="heartbeat", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(self._silence / 4):
            self.beat()
