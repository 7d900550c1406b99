"""Judges from outside: does this base model answer this question right? One fit serves FORC and Table 5."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression

from disrouter_training.baselines.encoder import Backbone, Scratch
from disrouter_training.baselines.lexical import Boosted, Linear
from disrouter_training.baselines.text import TINY, Examples, TextModel
from disrouter_training.baselines.training_data import Scores, TrainingData
from disrouter_training.data.split import DEV
from disrouter_training.evaluation.evidence import Bools, Floats

KIND = "External"
"""Table 5's word for them."""


def text_models(training_data: TrainingData) -> list[TextModel]:
    """All that can be tried with what is at hand."""
    models: list[TextModel] = [Linear(), Boosted(), Scratch()]
    return [*models, Backbone(training_data.backbone)] if training_data.backbone is not None else models


@dataclass(frozen=True)
class Predictors:
    """Every text model, one output an agent, taught by the frequency of right answers."""

    name: str = "predictors"

    def fit(self, training_data: TrainingData, seed: int) -> dict[str, Floats]:
        """Chances [questions, agents] as `split/model`."""
        dev = training_data.splits[DEV]
        examples = Examples(
            training_data.texts("train"), training_data.frequency, training_data.texts(DEV), dev.base.astype(float)
        )
        scores: dict[str, Floats] = {}
        for model in text_models(training_data):
            predict = model.fit(examples, seed)
            scores |= {f"{split}/{model.name}": predict(training_data.texts(split)) for split in training_data.asked}
        return scores


def names(scores: Scores, split: str) -> list[str]:
    """The models that scored a split."""
    return [name.removeprefix(f"{split}/") for name in scores if name.startswith(f"{split}/")]


def calibrated(chances: Floats, dev_chances: Floats, dev_right: Bools) -> Floats:
    """Platt's correction of each column, fitted on dev: sampled answers are right less often than greedy ones."""
    columns = []
    for own, known, right in zip(chances.T, dev_chances.T, dev_right.T, strict=True):
        if right.all() or not right.any():
            columns.append(np.full(len(own), float(right[0])))
            continue
        fitted = LogisticRegression().fit(_logit(known), right)
        columns.append(fitted.predict_proba(_logit(own))[:, 1])
    return np.column_stack(columns)


def _logit(chances: Floats) -> Floats:
    p = np.clip(chances, TINY, 1 - TINY)
    return np.asarray(np.log(p / (1 - p))).reshape(-1, 1)
