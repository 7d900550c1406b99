"""What a report is made of: questions, who is right on them, and what trained agents decided. Pure data.

Agents are ordered by cost, the cheapest first; the last one always answers. Arrays are `[questions]`,
`[questions, agents]`, or `[questions, agents - 1]` where the last agent has nothing to decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from disrouter.scenario import Scenario, reject_threshold
from disrouter_training.data.sources import Question
from disrouter_training.data.split import DEV, HELDOUT, TEST
from disrouter_training.errors import DatasetError

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MAX_FAMILIES = 24
"""Families that are reported apart; a dataset with more (57 subjects, 190 activities) would bury the report."""


@dataclass(frozen=True)
class ModelSet:
    """The agents of a pool and what one answer of each costs, in [0, 1]."""

    names: tuple[str, ...]
    costs: Floats

    def __post_init__(self) -> None:
        """Raises ValueError where agents and costs do not fit or are not ordered by cost."""
        if len(self.names) != len(self.costs) or len(self.names) < 2:
            raise ValueError(f"{len(self.names)} agents with {len(self.costs)} costs; a cascade has two or more")
        if np.any(np.diff(self.costs) < 0):
            raise ValueError(f"costs must not fall along the cascade: {self.costs.tolist()}")


@dataclass(frozen=True)
class Split:
    """One set of questions, and whether each base model is right when it must answer."""

    name: str
    questions: tuple[Question, ...]
    base: Bools

    def groups(self) -> dict[str, Bools]:
        """Questions of each kind, then of each family, as masks; families only where they are few enough to read."""
        masks = self.kinds()
        families = _masks([question.family for question in self.questions])
        for name, mask in families.items() if len(families) <= MAX_FAMILIES else ():
            masks.setdefault(name, mask)
        return masks

    def kinds(self) -> dict[str, Bools]:
        """Questions of each kind, for the paper's datasets the dataset, as masks."""
        return _masks([question.kind for question in self.questions])

    def balance(self) -> Floats | None:
        """Weights [questions] of mean 1 under which every kind counts alike: the paper averages over datasets.

        None where some questions have no kind, or all have the same.
        """
        masks = list(self.kinds().values())
        if len(masks) < 2 or not np.all(np.sum(masks, axis=0)):
            return None
        return np.asarray(sum(mask * (len(mask) / (len(masks) * mask.sum())) for mask in masks), float)


def _masks(values: Sequence[str | None]) -> dict[str, Bools]:
    return {
        value: np.array([each == value for each in values]) for value in sorted({value for value in values if value})
    }


@dataclass(frozen=True)
class Decisions:
    """What the trained agents of one seed did on a split; every array has a column for each agent but the last.

    `gamma` has one number for each of these agents.
    """

    refused: Mapping[Scenario, Bools]
    correct: Mapping[Scenario, Bools]
    """Answered, and right."""
    must_answer: Bools
    """Right when it must answer."""
    plain: Bools
    """Right when it is asked the client's own question, as the probability mode asks it."""
    plain_refused: Bools
    """Refuses then, so that the next agent is asked."""
    log_odds: Floats
    """Of a refusal against an answer at the first token, asked under one scenario's instruction."""
    gamma: Floats
    """Reliability factor of each agent's probability decision (eq. 10): that of its own training."""

    @property
    def confidence(self) -> Floats:
        """Between 0 and 1: the probability of an answer beside a refusal."""
        return np.asarray(1 / (1 + np.exp(self.log_odds)))

    def thresholds(self, alpha: float) -> Floats:
        """The competence from which on each agent answers (eq. 10)."""
        return np.array([reject_threshold(alpha, gamma) for gamma in self.gamma.tolist()])

    def take(self, agents: Sequence[int]) -> Decisions:
        """Of these agents alone."""
        columns = list(agents)
        return Decisions(
            {scenario: values[:, columns] for scenario, values in self.refused.items()},
            {scenario: values[:, columns] for scenario, values in self.correct.items()},
            self.must_answer[:, columns],
            self.plain[:, columns],
            self.plain_refused[:, columns],
            self.log_odds[:, columns],
            self.gamma[columns],
        )


Seed = Mapping[str, Decisions]
"""The decisions of agents trained with one seed, by split."""


@dataclass(frozen=True)
class Evidence:
    """A pool, its splits, and one or more trainings of its agents."""

    models: ModelSet
    splits: Mapping[str, Split]
    trainings: Mapping[str, Sequence[Seed]]
    """By name, for example `SFT` and `SFT + RL`; each has the same number of seeds. The last is the one served."""

    def __post_init__(self) -> None:
        """Raises DatasetError where the parts are not about the same questions and agents."""
        agents = len(self.models.names)
        for split in self.splits.values():
            if split.base.shape != (len(split.questions), agents) or not split.questions:
                raise DatasetError(f"split {split.name} has answers of shape {split.base.shape} for {agents} agents")
            for name, seeds in self.trainings.items():
                for seed in seeds:
                    if seed[split.name].must_answer.shape != (len(split.questions), agents - 1):
                        raise DatasetError(f"training {name} was not asked the questions of split {split.name}")

    @property
    def tuning(self) -> Split:
        """What everything is chosen on: dev where there is one."""
        return self.splits.get(DEV, self.splits[TEST])

    @property
    def judged(self) -> list[Split]:
        """What everything is judged on."""
        return [self.splits[name] for name in (TEST, HELDOUT) if name in self.splits]

    @property
    def served(self) -> str:
        """Name of the training that is served."""
        return list(self.trainings)[-1]

    def take(self, agents: Sequence[int]) -> Evidence:
        """A cascade of these agents alone, cheapest first, without training anything again (Table 4)."""
        columns, deciding = list(agents), list(agents)[:-1]
        models = ModelSet(tuple(self.models.names[k] for k in columns), self.models.costs[columns])
        splits = {name: replace(split, base=split.base[:, columns]) for name, split in self.splits.items()}
        trainings = {
            name: [{split: seed[split].take(deciding) for split in seed} for seed in seeds]
            for name, seeds in self.trainings.items()
        }
        return replace(self, models=models, splits=splits, trainings=trainings)
