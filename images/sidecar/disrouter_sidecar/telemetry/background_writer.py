"""A descriptor that a thread of its own writes to: where nobody reads it, nothing else stands still."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

MAX_BACKLOG = 4 * 1024 * 1024
"""Bytes that wait at most, thousands of requests' lines; what comes after them is dropped, and counted."""


class BackgroundWriter:
    """Writes in order. The thread is started by the first text and ends with the process."""

    def __init__(self, descriptor: int, notice: Callable[[int], bytes]) -> None:
        """`notice` makes the text that is written in the place of so many dropped ones."""
        self._descriptor = descriptor
        self._notice = notice
        self._waiting: list[bytes] = []
        self._size = 0
        self._dropped = 0
        self._busy = False
        """The thread is writing."""
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def write(self, text: bytes) -> None:
        """Write it soon; drop it where too much waits already."""
        with self._changed:
            if self._size + len(text) > MAX_BACKLOG:
                self._dropped += 1
                return
            self._waiting.append(text)
            self._size += len(text)
            self._changed.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="log", daemon=True)
            self._thread.start()

    def drain(self, seconds: float) -> bool:
        """Wait until all is written, or so many seconds; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._waiting or self._busy), seconds)

    def _run(self) -> None:
        while True:
            text = self._next()
            try:
                while text:
                    text = text[os.write(self._descriptor, text) :]
            except OSError:  # closed, or its disk is full: a log is no reason to stop serving
                pass
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _next(self) -> bytes:
        """All that waits, once anything does."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting)
            text = b"".join(self._waiting)
            if self._dropped:
                text += self._notice(self._dropped)
            self._waiting, self._size, self._dropped, self._busy = [], 0, 0, True
        return text
