"""As many sequences at once as memory holds: found out by halving, because only the device knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from disrouter_training.models.loading import unless_too_much
from disrouter_training.process.progress import Say

Item = TypeVar("Item")
Result = TypeVar("Result")


class Halving:
    """Works on parts of lists. What was once too much is not tried again."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._most: int | None = None

    def map(self, items: Sequence[Item], at_once: int, work: Callable[[Sequence[Item]], list[Result]]) -> list[Result]:
        """A result for each item; `work` gets at most `at_once`. Raises what it raises, even out of memory for one."""
        out: list[Result] = []
        while len(out) < len(items):
            part = items[len(out) : len(out) + min(at_once, self._most or at_once)]
            found = work(part) if len(part) == 1 else unless_too_much(partial(work, part))
            if found is None:
                self._most = len(part) // 2
                self._say(f"out of memory with {len(part)} prompts at once: goes on with {self._most}")
            else:
                out += found
        return out
