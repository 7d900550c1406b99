"""Text models: from a text to several chances in [0, 1], each learned from targets in [0, 1].

Every router here needs one. Four are tried everywhere, and each router takes the one that is best on dev.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from disrouter_training.evaluation.evidence import Floats

Predict = Callable[[Sequence[str]], Floats]
"""[texts, outputs]."""
TINY = 1e-6
COMMON = 0.01
"""Share of the texts from which on a line is a fixed phrase, such as a task's instruction."""


@dataclass(frozen=True)
class Examples:
    """Texts with a target for each output, and the same of the dev questions, to stop and to choose by."""

    texts: Sequence[str]
    targets: Floats
    dev_texts: Sequence[str]
    dev_targets: Floats


class TextModel(Protocol):
    """Learns to predict."""

    @property
    def name(self) -> str:
        """For tables."""
        ...

    def fit(self, examples: Examples, seed: int, /) -> Predict:
        """The same seed gives the same model."""
        ...


def log_loss(predicted: Floats, targets: Floats) -> float:
    """Mean binary cross-entropy, in nats."""
    p = np.clip(predicted, TINY, 1 - TINY)
    return float(-np.mean(targets * np.log(p) + (1 - targets) * np.log(1 - p)))


def condenser(texts: Sequence[str]) -> Callable[[Sequence[str]], list[str]]:
    """Put a short name in the place of every line that many texts share.

    A router then reads what differs: the same information in a fifth of the length.
    """
    counts = Counter(line for text in texts for line in set(text.split("\n")))
    least = max(3, COMMON * len(texts))
    common = sorted(line for line, count in counts.items() if count >= least and len(line) > 8)
    names = {line: f"#{chr(ord('A') + n % 26)}{n}" for n, line in enumerate(common)}

    def condense(each: Sequence[str]) -> list[str]:
        return ["\n".join(names.get(line, line) for line in text.split("\n")) for text in each]

    return condense
