"""AutoMix (Aggarwal et al. 2024): each agent answers, verifies its own answer ten times, and forwards what it doubts.

The share of verifications that approve is one of eleven values; what to do at each is chosen on dev, which for a
decision that sees one agent's confidence at a time is what AutoMix's POMDP comes to. A verification costs as much as
an answer, and every agent that is asked is paid, as in the paper (its cost of 1.10 is 0.1 + 0.1 + 0.9). Two ways to
verify are tried: to ask whether the answer is correct, and to answer again and compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from disrouter_training.baselines.predictors import names
from disrouter_training.baselines.stepping import best_option, follow
from disrouter_training.baselines.training_data import Routes, Scores, TrainingData
from disrouter_training.data.split import DEV
from disrouter_training.evaluation.evidence import Evidence, Floats


@dataclass(frozen=True)
class AutoMix:
    """Needs no training, only the agents' own verifications."""

    name: str = "AutoMix"
    retrains: bool = True
    """As the paper has it (Table 4): its decision process is fitted to a fixed pool."""

    def fit(self, training_data: TrainingData, _seed: int) -> dict[str, Floats]:
        """Shares of approval [questions, agents - 1] as `split/way`."""
        return {
            f"{split}/{way}": each for way, splits in training_data.verified.items() for split, each in splits.items()
        }

    def route(self, scores: Scores, evidence: Evidence, split: str, alpha: float, agents: Sequence[int]) -> Routes:
        """By the way to verify, the agents and the thresholds that are best on dev."""
        costs = evidence.models.costs
        columns = list(agents)[:-1]
        known, own = ({way: scores[f"{s}/{way}"][:, columns] for way in names(scores, DEV)} for s in (DEV, split))
        option = best_option(known, evidence.splits[DEV].base, costs, alpha, verified)
        return {self.name: follow(option, own, evidence.splits[split].base, costs, verified)}


def verified(costs: Floats) -> Floats:
    """Everyone asked is paid, and everyone but the last for a verification too."""
    before = np.concatenate([[0.0], np.cumsum(2 * costs)[:-1]])
    own = np.where(np.arange(len(costs)) < len(costs) - 1, 2 * costs, costs)
    return np.asarray(before + own, float)
