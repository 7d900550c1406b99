"""Whether an agent knows what it knows: how well its decision parts questions it gets right from those it gets wrong.

Pure. The area under the ROC curve does not depend on how much an agent answers, so refusing everything, answering
everything and answering at random all give one half.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from sklearn.metrics import roc_auc_score

from disrouter.artifacts import Discrimination

NORMAL_95 = 1.959964
"""Standard errors on either side of a 95 % interval."""


def discrimination(scores: Sequence[float], right: Sequence[bool]) -> Discrimination | None:
    """The area for scores that rise with the wish to answer; None where all questions are right, or all wrong.

    The interval has the larger of two standard errors: that of Hanley and McNeil (1982), and that of an agent without
    any knowledge (Mann and Whitney, 1947), which stays honest where a few questions are parted without an error.
    """
    positive = sum(right)
    negative = len(right) - positive
    if not positive or not negative:
        return None
    area = float(roc_auc_score(list(right), list(scores)))
    error = NORMAL_95 * max(_hanley_mcneil(area, positive, negative), _by_chance(positive, negative))
    return Discrimination(area=area, low=max(0.0, area - error), high=min(1.0, area + error))


def _hanley_mcneil(area: float, positive: int, negative: int) -> float:
    one, two = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (positive - 1) * (one - area**2) + (negative - 1) * (two - area**2)
    return math.sqrt(max(0.0, variance) / (positive * negative))


def _by_chance(positive: int, negative: int) -> float:
    return math.sqrt((positive + negative + 1) / (12 * positive * negative))
