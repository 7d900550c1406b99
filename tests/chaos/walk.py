"""From a seed to steps. Pure: the same seed and the same choices give the same walk."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

STEPS_UNTIL_QUIET = 5
"""Edits and faults, at most, before everything is left alone until it has settled."""
PAUSES = (2.0, 12.0)
"""Seconds between two steps, the least and the most."""
FAULT_SHARE = 0.6
"""Of all steps; the others are edits."""


class Step(NamedTuple):
    """One edit or fault, and the seconds to wait after it."""

    kind: str
    name: str
    pause: float


QUIET = Step("quiet", "", 0.0)


def walk(seed: int, edits: Sequence[str], faults: Sequence[str]) -> Iterator[Step]:
    """Steps without end, a quiet one behind each few of them."""
    draw = random.Random(seed)
    while True:
        for _ in range(draw.randint(1, STEPS_UNTIL_QUIET)):
            kind, names = ("fault", faults) if draw.random() < FAULT_SHARE else ("edit", edits)
            yield Step(kind, draw.choice(names), draw.uniform(*PAUSES))
        yield QUIET
