"""From the chance of a refusal at the first token to competence: the probability mode beyond the paper.

A trained agent's first token tells refusal from answer. `evaluate` measures, on held-out questions, how often the agent
is right at each value of that chance; the sidecar reads the chance from the engine's logprobs and answers where the
estimated competence is at least (1 - alpha) ** gamma (eq. 7 and 10), so one model serves every preference.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Self

from pydantic import Field, model_validator

from disrouter.model import Model
from disrouter.scenario import Scenario
from disrouter.terms import answers, competence

__all__ = ["MAX_POINTS", "Calibration", "CalibrationPoint", "answers"]

MAX_POINTS = 16


class CalibrationPoint(Model):
    """At this chance of a refusal the agent is right this often."""

    refusal: float = Field(ge=0, le=1)
    competence: float = Field(ge=0, le=1)


class Calibration(Model):
    """Competence as a function of the refusal's chance: linear between points, constant outside them."""

    token: str = Field(min_length=1, max_length=64)
    """Text of the first token of a refusal, as the engine's logprobs spell it."""
    scenario: Scenario = Scenario.BALANCE
    """Whose instruction the chance was measured under; a probe uses the same."""
    points: tuple[CalibrationPoint, ...] = Field(min_length=1, max_length=MAX_POINTS)
    """Ordered by `refusal`, strictly; `competence` never rises along it."""

    @model_validator(mode="after")
    def _monotone(self) -> Self:
        for before, point in pairwise(self.points):
            if point.refusal <= before.refusal or point.competence > before.competence:
                raise ValueError("calibration points must rise in refusal and not rise in competence")
        return self

    def competence(self, refusal: float) -> float:
        """Estimated chance in [0, 1] that an answer is right, for a chance of refusal in [0, 1]."""
        return competence([(point.refusal, point.competence) for point in self.points], refusal)
