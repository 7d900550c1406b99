"""Baselines of a pool: fitted once, kept, and turned into policies."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from disrouter.artifacts import write_atomically
from disrouter_training.baselines.automix import AutoMix
from disrouter_training.baselines.forc import Forc
from disrouter_training.baselines.frugalgpt import FrugalGpt
from disrouter_training.baselines.graphrouter import GraphRouter
from disrouter_training.baselines.predictors import KIND, names
from disrouter_training.baselines.predictors import Predictors as TextPredictors
from disrouter_training.baselines.routellm import RouteLlm
from disrouter_training.baselines.training_data import Baseline, Scores, TrainingData
from disrouter_training.evaluation.analysis import Baselines, Predictors
from disrouter_training.evaluation.evidence import Evidence, Floats, Split
from disrouter_training.evaluation.policies import Routed
from disrouter_training.evaluation.scores import BaselineRouting
from disrouter_training.evaluation.self_knowledge import PredictorScore, predictor_score

EVEN = 0.5
"""A predictor that finds it likelier than not says yes (Appendix I)."""


class Fitted(Protocol):
    """Whatever is fitted and kept."""

    @property
    def name(self) -> str:
        """Of its file."""
        ...

    def fit(self, training_data: TrainingData, seed: int, /) -> dict[str, Floats]:
        """Arrays by name."""
        ...


FITTED: tuple[Fitted, ...] = (TextPredictors(), RouteLlm(), FrugalGpt(), AutoMix(), GraphRouter())
"""All that takes time. FORC routes by what the predictors say."""


@dataclass(frozen=True)
class ScoreCache:
    """Where fitted scores are kept. `key` changes with what they were learned from."""

    folder: Path
    key: str

    def path(self, fitted: str, seed: int) -> Path:
        """Of one baseline and seed."""
        return self.folder / f"{fitted.lower()}-seed-{seed}-{self.key}.npz"

    def fit(self, fitted: Fitted, training_data: TrainingData, seed: int) -> None:
        """Fit it unless it is there; the file is whole or not there."""
        path = self.path(fitted.name, seed)
        if path.exists():
            return
        arrays: dict[str, Any] = {
            name.replace("/", "|"): each for name, each in fitted.fit(training_data, seed).items()
        }
        content = io.BytesIO()
        np.savez_compressed(content, **arrays)
        write_atomically(path, content.getvalue())

    def read(self, fitted: str, seed: int) -> Scores:
        """What was kept."""
        with np.load(self.path(fitted, seed)) as file:
            return {name.replace("|", "/"): file[name] for name in file.files}


def cache_key(names_of_answers: Sequence[str]) -> str:
    """From the names of the folders of base answers, which change with models and questions."""
    return hashlib.sha256("/".join(names_of_answers).encode()).hexdigest()[:10]


def baselines(cache: ScoreCache, seeds: Sequence[int], agents: int) -> Baselines:
    """All baselines, for the whole pool or a part of it."""
    by_seed = [_baselines({each.name: cache.read(each.name, seed) for each in FITTED}) for seed in seeds]
    by_baseline = list(zip(*by_seed, strict=True))

    def for_part(part: Sequence[int]) -> list[BaselineRouting]:
        whole = len(part) == agents
        return [_routing(fitted, part) for fitted in by_baseline if whole or not fitted[0][0].retrains]

    return for_part


def _baselines(scores: Mapping[str, Scores]) -> list[tuple[Baseline, Scores]]:
    """Each with what it routes by."""
    ready: list[Baseline] = [RouteLlm(), FrugalGpt(), AutoMix(), GraphRouter()]
    return [(Forc(scores[TextPredictors().name]), {}), *((each, scores[each.name]) for each in ready)]


def _routing(fitted: Sequence[tuple[Baseline, Scores]], part: Sequence[int]) -> BaselineRouting:
    """One baseline, fitted with each seed."""

    def route(evidence: Evidence, split: str, alpha: float) -> dict[str, list[Routed]]:
        out: dict[str, list[Routed]] = {}
        for baseline, scores in fitted:
            for label, routed in baseline.route(scores, evidence, split, alpha, part).items():
                out.setdefault(label, []).append(routed)
        return out

    return route


def predictors(cache: ScoreCache, seeds: Sequence[int]) -> Predictors:
    """The external predictors of Table 5, one per text model."""
    fitted = [cache.read(TextPredictors().name, seed) for seed in seeds]

    def score(evidence: Evidence, split: Split) -> list[PredictorScore]:
        out = []
        for agent, name in enumerate(evidence.models.names[:-1]):
            for model in names(fitted[0], split.name):
                beliefs = [scores[f"{split.name}/{model}"][:, agent] for scores in fitted]
                decided = [each >= EVEN for each in beliefs]
                out.append(predictor_score(split, (agent, name), (KIND, model), beliefs, decided))
        return out

    return score
