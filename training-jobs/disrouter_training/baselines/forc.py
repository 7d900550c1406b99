"""FORC (Sakota et al. 2024): predict each model's score on the query, go where the predicted utility is highest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from disrouter_training.baselines.predictors import calibrated, names
from disrouter_training.baselines.training_data import Routes, Scores, TrainingData
from disrouter_training.data.split import DEV
from disrouter_training.evaluation.evidence import Evidence, Floats
from disrouter_training.evaluation.policies import sent


@dataclass(frozen=True)
class Forc:
    """Routes by the predictors' chances; on dev it chooses the text model, and whether to correct its chances."""

    predictors: Scores
    name: str = "FORC"
    retrains: bool = False

    def fit(self, _training_data: TrainingData, _seed: int) -> dict[str, Floats]:
        """Nothing more than the predictors."""
        return {}

    def route(self, _scores: Scores, evidence: Evidence, split: str, alpha: float, agents: Sequence[int]) -> Routes:
        """The best of dev."""
        costs = evidence.models.costs
        dev, judged = evidence.splits[DEV], evidence.splits[split]

        def worth(known: Floats) -> float:
            return float(sent(dev.base, costs, best_utility(known, costs, alpha)).utility(alpha).mean())

        _, chances = max(self._pairs(evidence, split, agents), key=lambda pair: worth(pair[0]))
        return {self.name: sent(judged.base, costs, best_utility(chances, costs, alpha))}

    def _pairs(self, evidence: Evidence, split: str, agents: Sequence[int]) -> Iterator[tuple[Floats, Floats]]:
        """Chances on dev and on the split, from every model, as they are and corrected."""
        right = evidence.splits[DEV].base
        for model in names(self.predictors, DEV):
            known, own = (self.predictors[f"{each}/{model}"][:, list(agents)] for each in (DEV, split))
            yield known, own
            yield calibrated(known, known, right), calibrated(own, known, right)


def best_utility(chances: Floats, costs: Floats, alpha: float) -> np.ndarray:
    """The agent of highest predicted utility for each question."""
    return np.asarray((chances - alpha * costs).argmax(axis=1), np.int64)
