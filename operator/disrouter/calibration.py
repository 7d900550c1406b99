"""From the chance of a refusal at the first token to competence: the probability mode beyond the paper.

A trained agent's first token tells refusal from answer. `evaluate` measures, on held-out questions, how often the agent
is right at each value of that chance; the sidecar reads the chance from the engine's logprobs and answers where the
estimated competence is at least (1 - alpha) ** gamma (eq. 7 and 10), so one model serves every preference.

The table is part of the route table, of an agent's status and of a run's result. It is defined once, as structs that
check themselves; models hold it by `disrouter.model.StructField`.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from typing import Annotated

import msgspec
from msgspec import Meta

from disrouter.scenario import Scenario
from disrouter.terms import answers

__all__ = ["MAX_POINTS", "Calibration", "CalibrationPoint", "answers"]

MAX_POINTS = 16
_Share = Annotated[float, Meta(ge=0, le=1)]


class CalibrationPoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At this chance of a refusal the agent is right this often."""

    refusal: _Share
    competence: _Share


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Competence as a function of the refusal's chance: linear between points, constant outside them."""

    token: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=64,
            description="Text of the first token of a refusal, as the engine's logprobs spell it.",
        ),
    ]
    scenario: Annotated[
        Scenario, Meta(description="Whose instruction the chance was measured under; a probe uses the same.")
    ] = Scenario.BALANCE
    points: Annotated[
        tuple[CalibrationPoint, ...],
        Meta(
            min_length=1,
            max_length=MAX_POINTS,
            description="Ordered by `refusal`, strictly; `competence` never rises along it.",
        ),
    ]

    def __post_init__(self) -> None:
        """Raises ValueError where the points say two things of one chance, or are too few or too many."""
        if not 0 < len(self.points) <= MAX_POINTS:
            raise ValueError(f"calibration needs 1 to {MAX_POINTS} points, got {len(self.points)}")
        for before, point in pairwise(self.points):
            if point.refusal <= before.refusal or point.competence > before.competence:
                raise ValueError("calibration points must rise in refusal and not rise in competence")

    def competence(self, refusal: float) -> float:
        """Estimated chance in [0, 1] that an answer is right, for a chance of refusal in [0, 1]."""
        points = self.points
        place = bisect_left(points, refusal, key=_refusal)
        if place == 0:
            return points[0].competence
        if place == len(points):
            return points[-1].competence
        low, high = points[place - 1], points[place]
        share = (refusal - low.refusal) / (high.refusal - low.refusal)
        return low.competence + share * (high.competence - low.competence)


def _refusal(point: CalibrationPoint) -> float:
    return point.refusal
