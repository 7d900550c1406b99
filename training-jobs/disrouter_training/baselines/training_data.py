"""What baselines learn from, and what one is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from disrouter_training.evaluation.evidence import Evidence, Floats, ModelSet, Split
from disrouter_training.evaluation.policies import Routed

Scores = Mapping[str, Floats]
"""What fitting gives: arrays by name, for example `dev/lexical`."""


@dataclass(frozen=True)
class TrainingData:
    """Questions by split (`train`, `dev`, `test`, `heldout`) and what the base models answered to them."""

    models: ModelSet
    splits: Mapping[str, Split]
    frequency: Floats
    """[training questions, agents]: share of an agent's samples that are right, the measure of competence."""
    samples: Sequence[Sequence[tuple[str, float]]]
    """By agent: its sampled replies to the training questions in turn, and whether each is right."""
    samples_each: int
    """Samples of one question; `samples[k][q * samples_each + i]` is the i-th of question q."""
    replies: Mapping[str, Sequence[Sequence[str]]]
    """By split and agent: greedy replies."""
    verified: Mapping[str, Mapping[str, Floats]]
    """By way to verify and split: [questions, agents - 1], share of verifications that approve of the reply."""
    backbone: str | None = None
    """Folder of the smallest base model, whose weights a text model may start from; None: none does."""

    def texts(self, split: str) -> list[str]:
        """What a router reads: the user message."""
        return [question.user for question in self.splits[split].questions]

    @property
    def asked(self) -> list[str]:
        """The splits that are not trained on."""
        return [name for name in self.splits if name != "train"]


class Baseline(Protocol):
    """A learned router."""

    @property
    def name(self) -> str:
        """For tables."""
        ...

    @property
    def retrains(self) -> bool:
        """Whether another set of agents needs fitting again, so that it has no part in the sub-pools (Table 4)."""
        ...

    def fit(self, training_data: TrainingData, seed: int, /) -> dict[str, Floats]:
        """Learn, and score every question that is not trained on."""
        ...

    def route(self, scores: Scores, evidence: Evidence, split: str, alpha: float, agents: Sequence[int], /) -> Routes:
        """Route a split of `evidence`, whose agents are these columns of the pool that was fitted."""
        ...


Routes = Mapping[str, Routed]
"""By the label of its row."""
