"""From the first token of a reply to competence: the probability mode beyond the paper.

A trained agent's first token tells refusal from answer. `evaluate` measures, on held-out questions, how often the agent
is right at each value of the odds between the two; the sidecar reads them from the engine's logprobs and answers where
the estimated competence is at least (1 - alpha) ** gamma (eq. 7 and 10), so one model serves every preference.

The calibration is part of the route table, of an agent's status and of a run's result. It is defined once, as structs
that check themselves; models hold it by `disrouter.model.StructField`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import pairwise
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from disrouter.scenario import Scenario
from disrouter.terms import answers

__all__ = [
    "MAX_LOG_ODDS",
    "MAX_POINTS",
    "Calibration",
    "CalibrationPoint",
    "FirstTokenSignal",
    "PlattScaling",
    "answers",
]

MAX_LOG_ODDS = 12.0
"""Of a signal, either way: beyond 160,000 to 1 an engine's twenty logprobs do not have the rarer of the two tokens."""
MAX_POINTS = 16
_Share = Annotated[float, Meta(ge=0, le=1)]
_Token = Annotated[str, Meta(min_length=1, max_length=64)]


class FirstTokenSignal(NamedTuple):
    """Probabilities in [0, 1] that a reply begins as a refusal does, and as an answer does."""

    refusal: float
    answer: float

    @property
    def log_odds(self) -> float:
        """Of a refusal against an answer, within `MAX_LOG_ODDS`; 0 where neither has any probability."""
        refusal, answer = (math.log(each) if each > 0 else -math.inf for each in self)
        if refusal == answer:
            return 0.0
        return max(-MAX_LOG_ODDS, min(MAX_LOG_ODDS, refusal - answer))

    @property
    def residual(self) -> float:
        """Probability in [0, 1] of beginning otherwise, which says neither."""
        return max(0.0, 1.0 - self.refusal - self.answer)


class CalibrationPoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At this chance of a refusal the agent is right this often."""

    refusal: _Share
    competence: _Share


class PlattScaling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Competence as a logistic function of the log-odds of a refusal (Platt, 1999)."""

    intercept: Annotated[float, Meta(ge=-1000, le=1000)]
    slope: Annotated[float, Meta(ge=-1000, le=0, description="The more it inclines to refuse, the less it is right.")]

    def competence(self, log_odds: float) -> float:
        """Estimated chance in [0, 1] that an answer is right."""
        logit = max(-500.0, min(500.0, self.intercept + self.slope * log_odds))
        return 1.0 / (1.0 + math.exp(-logit))


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Competence as a function of what a reply begins with.

    By Platt scaling of the odds between two tokens; those of earlier releases look at the refusal's token alone, by
    points between which competence is linear, and constant outside them.
    """

    token: Annotated[
        _Token, Meta(description="Text of the first token of a refusal, as the engine's logprobs spell it.")
    ]
    answer: Annotated[_Token | None, Meta(description="The same of an answer; absent in earlier releases.")] = None
    scenario: Annotated[
        Scenario, Meta(description="Whose instruction the chance was measured under; a probe uses the same.")
    ] = Scenario.BALANCE
    platt: Annotated[PlattScaling | None, Meta(description="Absent in earlier releases.")] = None
    residual: Annotated[
        _Share, Meta(description="Most probability of other first tokens at which the odds still say something.")
    ] = 1.0
    points: Annotated[
        tuple[CalibrationPoint, ...],
        Meta(
            min_length=1,
            max_length=MAX_POINTS,
            description="Of earlier releases. Ordered by `refusal`, strictly; `competence` never rises along it.",
        ),
    ] = ()

    def __post_init__(self) -> None:
        """Raises ValueError where it says two things of one reply, or nothing."""
        if (self.platt is None) == (not self.points) or (self.platt is None) != (self.answer is None):
            raise ValueError("calibration needs either platt and answer, or points")
        if len(self.points) > MAX_POINTS:
            raise ValueError(f"calibration has at most {MAX_POINTS} points, got {len(self.points)}")
        for before, point in pairwise(self.points):
            if point.refusal <= before.refusal or point.competence > before.competence:
                raise ValueError("calibration points must rise in refusal and not rise in competence")

    def knows(self, signal: FirstTokenSignal) -> bool:
        """Whether a reply begins so much as the measured ones do that the signal says something of it."""
        return signal.residual <= self.residual

    def competence(self, signal: FirstTokenSignal) -> float:
        """Estimated chance in [0, 1] that an answer is right."""
        if self.platt is not None:
            return self.platt.competence(signal.log_odds)
        return _between(self.points, signal.refusal)


def _between(points: tuple[CalibrationPoint, ...], refusal: float) -> float:
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
