"""Baselines of a pool: fitted once, kept, and turned into policies."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from disrouter_training.baselines.automix import AutoMix
from disrouter_training.baselines.forc import Forc
from disrouter_training.baselines.frugalgpt import FrugalGpt
from disrouter_training.baselines.graphrouter import GraphRouter
from disrouter_training.baselines.judges import KIND, names
from disrouter_training.baselines.judges import Judges as TextJudges
from disrouter_training.baselines.material import Baseline, Material, Scores
from disrouter_training.baselines.routellm import RouteLlm
from disrouter_training.evaluation.analysis import Judges, Rivals
from disrouter_training.evaluation.evidence import Evidence, Floats, Sheet
from disrouter_training.evaluation.policies import Routed
from disrouter_training.evaluation.scores import Rival
from disrouter_training.evaluation.self_knowledge import Judged, judged

EVEN = 0.5
"""A judge that finds it likelier than not says yes (Appendix I)."""


class Fitted(Protocol):
    """Whatever is fitted and kept."""

    @property
    def name(self) -> str:
        """Of its file."""
        ...

    def fit(self, material: Material, seed: int, /) -> dict[str, Floats]:
        """Arrays by name."""
        ...


FITTED: tuple[Fitted, ...] = (TextJudges(), RouteLlm(), FrugalGpt(), AutoMix(), GraphRouter())
"""All that takes time. FORC routes by what the judges say."""


@dataclass(frozen=True)
class Shelf:
    """Where fitted scores are kept. `key` changes with what they were learned from."""

    folder: Path
    key: str

    def path(self, fitted: str, seed: int) -> Path:
        """Of one baseline and seed."""
        return self.folder / f"{fitted.lower()}-seed-{seed}-{self.key}.npz"

    def fit(self, fitted: Fitted, material: Material, seed: int) -> None:
        """Fit it unless it is there; the file is whole or not there."""
        path = self.path(fitted.name, seed)
        if path.exists():
            return
        arrays: dict[str, Any] = {name.replace("/", "|"): each for name, each in fitted.fit(material, seed).items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.stem}.{os.getpid()}.npz")
        np.savez_compressed(scratch, **arrays)
        scratch.replace(path)

    def read(self, fitted: str, seed: int) -> Scores:
        """What was kept."""
        with np.load(self.path(fitted, seed)) as file:
            return {name.replace("|", "/"): file[name] for name in file.files}


def shelf_key(names_of_answers: Sequence[str]) -> str:
    """From the names of the folders of base answers, which change with models and questions."""
    return hashlib.sha256("/".join(names_of_answers).encode()).hexdigest()[:10]


def rivals(shelf: Shelf, seeds: Sequence[int], agents: int) -> Rivals:
    """All baselines, for the whole pool or a part of it."""
    by_seed = [_baselines({each.name: shelf.read(each.name, seed) for each in FITTED}) for seed in seeds]
    by_baseline = list(zip(*by_seed, strict=True))

    def for_part(part: Sequence[int]) -> list[Rival]:
        whole = len(part) == agents
        return [_rival(fitted, part) for fitted in by_baseline if whole or not fitted[0][0].retrains]

    return for_part


def _baselines(scores: Mapping[str, Scores]) -> list[tuple[Baseline, Scores]]:
    """Each with what it routes by."""
    ready: list[Baseline] = [RouteLlm(), FrugalGpt(), AutoMix(), GraphRouter()]
    return [(Forc(scores[TextJudges().name]), {}), *((each, scores[each.name]) for each in ready)]


def _rival(fitted: Sequence[tuple[Baseline, Scores]], part: Sequence[int]) -> Rival:
    """One baseline, fitted with each seed."""

    def route(evidence: Evidence, sheet: str, alpha: float) -> dict[str, list[Routed]]:
        out: dict[str, list[Routed]] = {}
        for baseline, scores in fitted:
            for label, routed in baseline.route(scores, evidence, sheet, alpha, part).items():
                out.setdefault(label, []).append(routed)
        return out

    return route


def judges(shelf: Shelf, seeds: Sequence[int]) -> Judges:
    """The external judges of Table 5, one a text model."""
    fitted = [shelf.read(TextJudges().name, seed) for seed in seeds]

    def judge(evidence: Evidence, sheet: Sheet) -> list[Judged]:
        out = []
        for agent, name in enumerate(evidence.lineup.names[:-1]):
            for model in names(fitted[0], sheet.name):
                beliefs = [scores[f"{sheet.name}/{model}"][:, agent] for scores in fitted]
                decided = [each >= EVEN for each in beliefs]
                out.append(judged(sheet, (agent, name), (KIND, model), beliefs, decided))
        return out

    return judge
