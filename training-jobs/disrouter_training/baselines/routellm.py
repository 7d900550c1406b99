"""RouteLLM (Ong et al. 2024) as the paper translates it: a classifier sends a query to the smallest capable model.

The classes are ordered, so they are learned as `an agent up to k is capable`; the query goes to the first agent for
which that is likely enough. How likely is chosen on dev, as RouteLLM calibrates its threshold to a budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from disrouter_training.baselines.predictors import names, text_models
from disrouter_training.baselines.text import Examples
from disrouter_training.baselines.training_data import Routes, Scores, TrainingData
from disrouter_training.data.split import DEV
from disrouter_training.evaluation.evidence import Evidence, Floats, Ints
from disrouter_training.evaluation.policies import sent

THRESHOLDS = np.linspace(0.05, 0.95, 19)


@dataclass(frozen=True)
class RouteLlm:
    """Its classes are the agents it was trained for, so that other agents need another training."""

    name: str = "RouteLLM"
    retrains: bool = True

    def fit(self, training_data: TrainingData, seed: int) -> dict[str, Floats]:
        """Chances [questions, agents - 1] as `split/model`."""
        examples = Examples(
            training_data.texts("train"),
            capable(training_data.splits["train"].base),
            training_data.texts(DEV),
            capable(training_data.splits[DEV].base),
        )
        scores: dict[str, Floats] = {}
        for model in text_models(training_data):
            predict = model.fit(examples, seed)
            scores |= {f"{split}/{model.name}": predict(training_data.texts(split)) for split in training_data.asked}
        return scores

    def route(self, scores: Scores, evidence: Evidence, split: str, alpha: float, _agents: Sequence[int]) -> Routes:
        """By the model and the threshold that are best on dev."""
        costs = evidence.models.costs
        dev, judged = evidence.splits[DEV], evidence.splits[split]
        options = [(model, float(threshold)) for model in names(scores, DEV) for threshold in THRESHOLDS]

        def worth(option: tuple[str, float]) -> float:
            chosen = first_likely(scores[f"{DEV}/{option[0]}"], option[1])
            return float(sent(dev.base, costs, chosen).utility(alpha).mean())

        model, threshold = max(options, key=worth)
        return {self.name: sent(judged.base, costs, first_likely(scores[f"{split}/{model}"], threshold))}


def capable(base: np.ndarray) -> Floats:
    """Whether an agent up to k is right, for all k but the last."""
    return np.maximum.accumulate(base.astype(float), axis=1)[:, :-1]


def first_likely(chances: Floats, threshold: float) -> Ints:
    """The first agent with enough of a chance; the last where none has."""
    likely = np.column_stack([chances >= threshold, np.ones(len(chances), bool)])
    return np.asarray(likely.argmax(axis=1), np.int64)
