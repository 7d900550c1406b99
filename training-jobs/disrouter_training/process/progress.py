"""How far a stage is: a line for people on stderr, a small file for machines."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from disrouter.artifacts import write_atomically

PROGRESS_FILE = "progress.json"
INTERVAL_SECONDS = 1.0
"""Least time between two reports, so that a fast stage does not spend itself on reporting."""

WITHIN_SECONDS = 10.0
"""Least time between two reports from within a step."""

Say = Callable[[str], None]
Clock = Callable[[], float]


def say_on_stderr(line: str) -> None:
    """One line for the person who watches."""
    print(line, file=sys.stderr, flush=True)


class Progress:
    """Counts steps of a stage and the units (samples, examples...) done in them.

    The rate and the time left come from this process's own steps: steps that an earlier process did are passed over
    by `resume` and do not flatter them.
    """

    def __init__(
        self, stage: str, unit: str, total: int, folder: Path | None, *, say: Say, clock: Clock = time.monotonic
    ) -> None:
        self._stage, self._unit, self._total = stage, unit, total
        self._path = folder / PROGRESS_FILE if folder is not None else None
        self._say, self._clock = say, clock
        self._step = self._resumed = 0
        self._units = 0.0
        self.note = ""
        """What else is known by now, for the end of the line."""
        self._started = clock()
        self._reported = float("-inf")

    def resume(self, step: int) -> None:
        """Steps that lie behind us already."""
        self._step = self._resumed = step
        self._started = self._clock()
        if step:
            self._say(f"{self._stage} resumes at {step}/{self._total}")

    def advance(self, units: float, steps: int = 1) -> None:
        """Some steps are done; report when it is time to, and always at the end."""
        self._step += steps
        self._units += units
        now = self._clock()
        if now - self._reported >= INTERVAL_SECONDS or self._step >= self._total:
            self._reported = now
            self._report(now - self._started)

    def within(self, share: float) -> None:
        """The step under way is done to this share in [0, 1]: said now and then, so that a long step shows life."""
        now = self._clock()
        if share > 0 and now - max(self._reported, self._started) >= WITHIN_SECONDS:
            self._reported = now
            self._report(now - self._started, share)

    def _report(self, elapsed: float, share: float = 0.0) -> None:
        """`share` of one more step is done, of which the units are not known yet."""
        step = self._step + share
        left = elapsed / max(share or 1.0, step - self._resumed) * (self._total - step)
        rate = self._units / elapsed if elapsed > 0 else 0.0
        shown = f" {compact(rate)} {self._unit}/s," if self._units else ""
        percent = int(100 * step / max(1, self._total))
        under_way = f", {share:.0%} of the next" if share else ""
        note = f", {self.note}" if self.note else ""
        self._say(
            f"{self._stage} {self._step}/{self._total}{under_way} ({percent}%){shown} {duration(left)} left{note}"
        )
        content = {
            "step": self._step,
            "of": self._total,
            "done": round(step / max(1, self._total), 4),
            "unit": self._unit,
            "per_second": round(rate, 3),
            "seconds_left": round(left, 1),
        }
        if self._path is not None:
            write_atomically(self._path, json.dumps(content) + "\n")


def compact(value: float) -> str:
    """1234 -> 1.2k; two significant digits where it matters."""
    if value >= 1000:
        return f"{value / 1000:.1f}k"
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def duration(seconds: float) -> str:
    """A time span as people say it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"
