"""The gate: a trained run is served only if it is better than what is served, on questions that training never saw.

The comparison is `evaluate`'s, made by one Job on the same questions for both. A comparison counts only against what is
served now: if that changed meanwhile (a roll-back), `evaluate` runs again, which asks only what it has not asked yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from disrouter import names
from disrouter.api import Promotion
from disrouter.artifacts import Evaluation, RunConfig


@dataclass(frozen=True)
class Verdict:
    """Whether a run may be served, and the numbers for people."""

    passed: bool
    message: str


@dataclass(frozen=True)
class Unusable:
    """A result that cannot be judged."""

    reason: str
    message: str


def served_name(run: str | None) -> str:
    """What is served, in a word: a run, or `base`."""
    return run or names.BASE


def read(text: str | None, config: RunConfig) -> Evaluation | Unusable:
    """The result that the trainer of `evaluate` left as its last words."""
    if text is None:
        return Unusable("ResultLost", f"the result of run {config.run} is lost with its pod")
    try:
        evaluation = Evaluation.model_validate_json(text)
    except ValidationError as error:
        detail = error.errors()[0]["msg"]
        return Unusable("ResultUnreadable", f"the result of run {config.run} is not an evaluation: {detail}")
    if evaluation.run != config.run:
        return Unusable("ResultOfOtherRun", f"the result of run {config.run} speaks of run {evaluation.run}")
    return evaluation


def judge(evaluation: Evaluation, least_gain: float, compared_with: str) -> Verdict:
    """Only an agent that is better than what is served is promoted."""
    gain = evaluation.utility_gain
    other = "the base model" if compared_with == names.BASE else f"run {compared_with}"
    numbers = (
        f"run {evaluation.run} gains {gain:+.4f} of utility over {other}, which is served, "
        f"on {evaluation.questions} questions"
    )
    if gain >= least_gain:
        return Verdict(True, numbers)
    remedy = "train on more or other data, or lower spec.training.gate.minUtilityGain"
    return Verdict(False, f"{numbers}, below the gate's {least_gain:+.4f}; it keeps serving as before: {remedy}")


def promoted(
    history: Sequence[Promotion], run: str, evaluation: Evaluation | None, now: str, limit: int
) -> tuple[Promotion, ...]:
    """The history with `run` as what was promoted last."""
    if history and history[0].run == run:
        return tuple(history[:limit])
    known = evaluation if evaluation is not None and evaluation.run == run else None
    newest = Promotion(
        run=run,
        promoted_at=now,
        utility_gain=known.utility_gain if known is not None else None,
        calibration=known.calibration if known is not None else None,
        preference_encoding=known.preference_encoding if known is not None else None,
        prompt_opens_reasoning=known is not None and known.prompt_opens_reasoning,
    )
    return (newest, *(each for each in history if each.run != run))[:limit]


def promotion(history: Sequence[Promotion], run: str | None) -> Promotion | None:
    """What is known of a run that is, or was, served."""
    return next((each for each in history if each.run == run), None)
