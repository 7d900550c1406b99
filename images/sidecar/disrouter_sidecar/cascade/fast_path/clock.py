"""Seconds that only grow, but for a request that is handed over: for it all begins when it came."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic


class Clock:
    """`time.monotonic`, or the moment at which it stands."""

    __slots__ = ("_stands",)

    def __init__(self) -> None:
        self._stands: float | None = None

    def __call__(self) -> float:
        return monotonic() if self._stands is None else self._stands

    @contextmanager
    def at(self, moment: float) -> Iterator[None]:
        """Stand still at that moment; nothing may be awaited meanwhile."""
        self._stands = moment
        try:
            yield
        finally:
            self._stands = None
