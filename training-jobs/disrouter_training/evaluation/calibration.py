"""From a reply's first token to competence: the calibration that the probability mode reads. Pure.

Competence falls as the odds of a refusal rise. Two numbers say how (Platt scaling): they hold between few questions and
beyond them, where the steps of an isotonic regression on some hundred questions are noise.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression

from disrouter.calibration import Calibration, FirstTokenSignal, PlattScaling
from disrouter.scenario import Scenario
from disrouter_training.generation.first_token import FirstTokens

LEAST_RESIDUAL = 0.1
"""Probability of other first tokens up to which a signal always counts: so much is noise."""
RESIDUAL_QUANTILE = 0.99
"""Of the measured questions: those with more are what the calibration does not know."""
_PENALTY = 1e-6
"""Keeps the fit defined where all signals are alike; beside one question it is nothing."""


def calibrate(
    signals: Sequence[FirstTokenSignal], right: Sequence[bool], tokens: FirstTokens, scenario: Scenario
) -> Calibration:
    """Of an agent: what its replies begin with on each question, and whether its answer was right.

    Raises ValueError where there are no questions or the two differ in length.
    """
    scaling = platt([signal.log_odds for signal in signals], right)
    residual = float(np.quantile([signal.residual for signal in signals], RESIDUAL_QUANTILE))
    return Calibration(
        token=tokens.refusal,
        answer=tokens.answer,
        scenario=scenario,
        platt=scaling,
        residual=round(max(residual, LEAST_RESIDUAL), 4),
    )


def platt(log_odds: Sequence[float], right: Sequence[bool]) -> PlattScaling:
    """The scaling with Platt's targets, which keep it finite where a score parts right from wrong without an error.

    A score that rises with competence knows nothing of it: it gets the same competence everywhere. Raises ValueError as
    `calibrate` does.
    """
    if not log_odds or len(log_odds) != len(right):
        raise ValueError(f"{len(log_odds)} signals for {len(right)} answers")
    positive, count = sum(right), len(right)
    hit, miss = (positive + 1) / (positive + 2), 1 / (count - positive + 2)
    target = np.where(right, hit, miss)
    score = np.tile(np.asarray(log_odds, float), 2).reshape(-1, 1)
    fitted = LogisticRegression(C=1 / _PENALTY).fit(
        score, np.repeat([1, 0], count), sample_weight=np.concatenate([target, 1 - target])
    )
    slope = round(float(fitted.coef_[0, 0]), 4)
    if slope < 0:
        return PlattScaling(intercept=round(float(fitted.intercept_[0]), 4), slope=slope)
    return PlattScaling(intercept=round(float(np.log(target.mean() / (1 - target.mean()))), 4), slope=0.0)
