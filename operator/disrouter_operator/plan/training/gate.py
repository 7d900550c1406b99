"""The gate: a trained run is served only if it is better than what is served, on questions that training never saw,
and knows what it knows.

The comparison is `evaluate`'s, made by one Job on the same questions for both. A comparison counts only against what is
served now: if that changed meanwhile (a roll-back), `evaluate` runs again, which asks only what it has not asked yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from disrouter import names
from disrouter.api import Gate, Promotion
from disrouter.artifacts import Discrimination, Evaluation, RunConfig
from disrouter.routes import DecisionMode

_READ = {DecisionMode.TEXT: "text", DecisionMode.PROBABILITY: "first token"}
"""Where a decision is read."""
_EPSILON = 1e-9
"""A loss of exactly what is allowed is allowed, whatever the binary fractions."""


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


def judge(evaluation: Evaluation, bounds: Gate, compared_with: str, mode: DecisionMode) -> Verdict:
    """Only an agent that is better than what is served is promoted, and that knows what it knows.

    Utility alone does not show it: a refusal earns more than a weak model's answers, so that who refuses everything
    gains. Each bound that is missed is named with what to do about it. `mode` is how the manifest has requests decided:
    what decides must tell right from wrong, the other is told for people.
    """
    other = "the base model" if compared_with == names.BASE else f"run {compared_with}"
    used = mode if evaluation.calibration is not None else DecisionMode.TEXT  # as the route table has it
    numbers = (
        f"run {evaluation.run} gains {evaluation.utility_gain:+.4f} of utility over {other}, which is served, "
        f"on {evaluation.questions} questions{_undecisive(evaluation, used)}"
    )
    missed = [check for each in _CHECKS for check in each(evaluation, bounds)]
    missed += _discrimination(evaluation, bounds, used)
    if not missed:
        return Verdict(True, numbers)
    return Verdict(False, f"{numbers}; it keeps serving as before: {'; '.join(missed)}")


def _utility(evaluation: Evaluation, bounds: Gate) -> Iterator[str]:
    least = bounds.min_utility_gain
    if evaluation.utility_gain < least:
        remedy = "train on more or other data, or lower spec.training.gate.minUtilityGain"
        yield f"the gain is below the gate's {least:+.4f}: {remedy}"


def _coverage(evaluation: Evaluation, bounds: Gate) -> Iterator[str]:
    rate = evaluation.coverage
    if rate < bounds.min_coverage:
        yield (
            f"it answers {rate:.1%} of the questions, less than the gate's {bounds.min_coverage:.1%}: see in "
            "collect/done.json whether its base model is right often enough and its replies are graded as they should "
            "be, raise sft.gamma, or lower spec.training.gate.minCoverage"
        )
    if rate > bounds.max_coverage:
        yield (
            f"it answers {rate:.1%} of the questions, more than the gate's {bounds.max_coverage:.1%}: add questions "
            "that its base model cannot answer, lower sft.gamma, or raise spec.training.gate.maxCoverage"
        )


def _forgetting(evaluation: Evaluation, bounds: Gate) -> Iterator[str]:
    lost = evaluation.base_accuracy - evaluation.must_answer_accuracy
    if lost > bounds.max_forgetting + _EPSILON:
        yield (
            f"when it must answer it is right on {evaluation.must_answer_accuracy:.1%} where its base model is on "
            f"{evaluation.base_accuracy:.1%}, a loss above the gate's {bounds.max_forgetting:.1%}: raise sft.replay or "
            "rl.kl, lower the learning rates, or raise spec.training.gate.maxForgetting"
        )


_CHECKS = (_utility, _coverage, _forgetting)


def _discrimination(evaluation: Evaluation, bounds: Gate, used: DecisionMode) -> Iterator[str]:
    if bounds.min_discrimination == 0:
        return
    if evaluation.must_answer_accuracy == 0:
        yield "it gets no question right when it must answer: see whether evaluate.datasets has the right grader"
        return
    found = _found(evaluation)[used]
    if found is None and evaluation.must_answer_accuracy < 1:
        yield (
            f"its result does not say how well its {_READ[used]} tells what it knows: train with an image of this "
            "release, or set spec.training.gate.minDiscrimination to 0"
        )
    if found is not None and found.low <= bounds.min_discrimination:
        yield (
            f"its {_READ[used]} hardly tells what it gets right from what it gets wrong: {_area(found)} does not "
            f"exceed the gate's {bounds.min_discrimination:.3f} for sure: train longer or at a higher rate, evaluate "
            "on more questions, or lower spec.training.gate.minDiscrimination"
        )


def _undecisive(evaluation: Evaluation, used: DecisionMode) -> str:
    """What people are told of the decision that is not in use; empty where nothing is known of it."""
    told = [
        (_READ[mode], found) for mode, found in _found(evaluation).items() if mode is not used and found is not None
    ]
    return "".join(f" (its {name}, which does not decide, has {_area(found)})" for name, found in told)


def _found(evaluation: Evaluation) -> dict[DecisionMode, Discrimination | None]:
    return {
        DecisionMode.TEXT: evaluation.discrimination,
        DecisionMode.PROBABILITY: evaluation.first_token_discrimination,
    }


def _area(found: Discrimination) -> str:
    return f"an area under the curve of {found.area:.3f} (95 %: {found.low:.3f} to {found.high:.3f})"


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
