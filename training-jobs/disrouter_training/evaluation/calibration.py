"""From the chance of a refusal at the first token to competence: the table that the probability mode reads. Pure.

The chance falls as competence rises, so a decreasing isotonic regression of `it is right` on the chance is the
estimate, without a free parameter. Its steps become a few points between which the sidecar interpolates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from sklearn.isotonic import IsotonicRegression

from disrouter.calibration import MAX_POINTS, Calibration, CalibrationPoint
from disrouter.scenario import Scenario

PROBED = Scenario.BALANCE
"""Whose instruction the probability mode asks under, for every preference."""
DECIMALS = 6
"""Of a chance: finer ones mean nothing, and differences near zero overflow the regression's arithmetic."""


@dataclass(frozen=True)
class _Step:
    """Questions that the regression gives the same competence."""

    questions: int
    refusal: float
    competence: float

    def joined(self, other: _Step) -> _Step:
        """Both as one, weighted by their questions."""
        count = self.questions + other.questions
        share = other.questions / count
        refusal = self.refusal + share * (other.refusal - self.refusal)
        return _Step(count, refusal, self.competence + share * (other.competence - self.competence))


def calibrate(chances: Sequence[float], right: Sequence[bool], token: str, scenario: Scenario) -> Calibration:
    """The table of an agent whose refusal begins with `token`: its chance on each question, and whether it was right.

    Raises ValueError where there are no questions or the two differ in length.
    """
    if not chances or len(chances) != len(right):
        raise ValueError(f"{len(chances)} chances for {len(right)} answers")
    rounded = np.round(np.asarray(chances, float), DECIMALS)
    fitted = IsotonicRegression(increasing=False, y_min=0.0, y_max=1.0).fit_transform(rounded, np.asarray(right, float))
    steps = _fewer(_steps(rounded, fitted))
    points = (CalibrationPoint(refusal=_round(s.refusal), competence=_round(s.competence)) for s in steps)
    return Calibration(token=token, scenario=scenario, points=tuple(_distinct(points)))


def _steps(chances: np.ndarray, fitted: np.ndarray) -> list[_Step]:
    """One for each value of the regression, by rising chance."""
    groups = [(value, chances[fitted == value]) for value in np.unique(fitted)[::-1]]
    return [_Step(len(group), float(group.mean()), float(value)) for value, group in groups]


def _fewer(steps: list[_Step]) -> list[_Step]:
    """At most MAX_POINTS: neighbours that differ least in what they say of how many questions are joined."""
    while len(steps) > MAX_POINTS:
        losses = [abs(a.competence - b.competence) * min(a.questions, b.questions) for a, b in pairwise(steps)]
        place = losses.index(min(losses))
        steps = [*steps[:place], steps[place].joined(steps[place + 1]), *steps[place + 2 :]]
    return steps


def _distinct(points: Iterable[CalibrationPoint]) -> list[CalibrationPoint]:
    """Without points that rounding made equal in their chance; the first, more competent one stays."""
    kept: dict[float, CalibrationPoint] = {}
    for point in points:
        kept.setdefault(point.refusal, point)
    return list(kept.values())


def _round(value: float) -> float:
    """Four decimals: a hundred of them must fit a termination message."""
    return round(min(1.0, max(0.0, value)), 4)
