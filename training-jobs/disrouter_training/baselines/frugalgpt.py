"""FrugalGPT (Chen et al. 2023): ask agents in turn, and stop at the first whose answer a scorer trusts.

The scorer reads question and answer. Its thresholds are searched on dev, as is the part of the pool that is asked at
all. The paper counts the cost of the answering agent alone; the agents asked before it cost the same, so a second row
counts them, with thresholds searched for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from disrouter_training.baselines.encoder import Backbone, Recipe, Scratch
from disrouter_training.baselines.lexical import Boosted, Linear
from disrouter_training.baselines.predictors import names
from disrouter_training.baselines.stepping import Option, best_option, follow
from disrouter_training.baselines.text import Examples, TextModel
from disrouter_training.baselines.training_data import Routes, Scores, TrainingData
from disrouter_training.data.split import DEV
from disrouter_training.evaluation.evidence import Evidence, Floats

SAMPLES = 1
"""Sampled replies of each agent to a training question that the scorer learns from, beside the greedy one."""
_SHORT = Recipe(epochs=4, patience=1)


@dataclass(frozen=True)
class FrugalGpt:
    """One scorer for all agents."""

    name: str = "FrugalGPT"
    retrains: bool = False

    def fit(self, training_data: TrainingData, seed: int) -> dict[str, Floats]:
        """The scorer's trust [questions, agents] as `split/model`."""
        agents = range(len(training_data.models.names))
        dev = training_data.splits[DEV]
        known = [
            (join(text, reply), float(right))
            for k in agents
            for text, reply, right in zip(
                training_data.texts(DEV), training_data.replies[DEV][k], dev.base[:, k], strict=True
            )
        ]
        pairs = _pairs(training_data)
        examples = Examples(
            [text for text, _ in pairs],
            np.array([[right] for _, right in pairs]),
            [text for text, _ in known],
            np.array([[right] for _, right in known]),
        )
        scores: dict[str, Floats] = {}
        for model in _models(training_data):
            predict = model.fit(examples, seed)
            for split in training_data.asked:
                texts = training_data.texts(split)
                columns = [predict(list(map(join, texts, training_data.replies[split][k])))[:, 0] for k in agents]
                scores[f"{split}/{model.name}"] = np.column_stack(columns)
        return scores

    def route(self, scores: Scores, evidence: Evidence, split: str, alpha: float, agents: Sequence[int]) -> Routes:
        """By the scorer and the thresholds that are best on dev."""
        columns = list(agents)
        confidences = {
            each: {model: scores[f"{each}/{model}"][:, columns][:, :-1] for model in names(scores, DEV)}
            for each in (DEV, split)
        }
        costs, dev, judged = evidence.models.costs, evidence.splits[DEV], evidence.splits[split]
        routes = {}
        for label, price in ((self.name, answering), (f"{self.name} (all asked)", asked)):
            option: Option = best_option(confidences[DEV], dev.base, costs, alpha, price)
            routes[label] = follow(option, confidences[split], judged.base, costs, price)
        return routes


def answering(costs: Floats) -> Floats:
    """The agent that answers is paid (the paper's accounting)."""
    return costs


def asked(costs: Floats) -> Floats:
    """Every agent that was asked is paid."""
    return np.cumsum(costs)


def join(text: str, reply: str) -> str:
    """What the scorer reads."""
    return f"{text}\n{reply}"


def _models(training_data: TrainingData) -> list[TextModel]:
    models: list[TextModel] = [Linear(), Boosted(), Scratch(recipe=_SHORT)]
    if training_data.backbone is not None:
        models.append(Backbone(training_data.backbone, recipe=Recipe(epochs=4, patience=1, learning_rate=5e-4)))
    return models


def _pairs(training_data: TrainingData) -> list[tuple[str, float]]:
    """Questions joined with replies, and whether those are right."""
    texts = training_data.texts("train")
    train = training_data.splits["train"]
    each = min(SAMPLES, training_data.samples_each)
    out: list[tuple[str, float]] = []
    for k, samples in enumerate(training_data.samples):
        for q, text in enumerate(texts):
            out.append((join(text, training_data.replies["train"][k][q]), float(train.base[q, k])))
            start = q * training_data.samples_each
            out += [(join(text, reply), right) for reply, right in samples[start : start + each]]
    return out
