"""Which questions train and which judge. A pure function of the run's inputs, so every stage sees the same split."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from disrouter.artifacts import DatasetSource, RunConfig
from disrouter_training.data.sources import BadRow, Question, Source, read_source
from disrouter_training.errors import DatasetError

TEST, DEV, HELDOUT = "test", "dev", "heldout"
"""In-domain questions, questions to choose everything by, and out-of-domain questions."""


@dataclass(frozen=True)
class QuestionSplit:
    """Questions to train on, questions to judge by, and what was left out of either."""

    training: tuple[Question, ...]
    evaluation: tuple[Question, ...]
    dev: tuple[Question, ...]
    """What thresholds and calibration are chosen by; empty where the run names none."""
    heldout: tuple[Question, ...]
    """Out-of-domain questions; empty where the run names none."""
    sources: tuple[Source, ...]
    leaked: int
    """Training questions dropped because the others ask the same."""

    @property
    def sheets(self) -> dict[str, tuple[Question, ...]]:
        """What the agent is judged on, by name."""
        named = {TEST: self.evaluation, DEV: self.dev, HELDOUT: self.heldout}
        return {name: questions for name, questions in named.items() if questions}

    def summary(self) -> dict[str, Any]:
        """Counts and fingerprints for `done.json`."""
        return {
            "training": len(self.training),
            "evaluation": len(self.evaluation),
            "dev": len(self.dev),
            "heldout": len(self.heldout),
            "droppedAsEvaluation": self.leaked,
            "badRows": sum(len(source.bad) for source in self.sources),
            "sources": [
                {
                    "name": source.name,
                    "questions": len(source.questions),
                    "leftOut": source.left_out,
                    "fingerprint": source.fingerprint,
                }
                for source in self.sources
            ],
        }

    def bad_rows(self) -> list[tuple[str, BadRow]]:
        """Every bad row with the name of its dataset."""
        return [(source.name, row) for source in self.sources for row in source.bad]


def split_questions(config: RunConfig, pvc_root: Path) -> QuestionSplit:
    """Read all datasets of a run and part them. Raises DatasetError if either part is empty."""
    sources = _read_all(config.datasets, pvc_root)
    pool = _distinct(sources, set())
    judged_by = [
        _read_all(each, pvc_root) for each in (config.evaluate.datasets, config.evaluate.dev, config.evaluate.heldout)
    ]
    evaluation, dev, heldout = _apart(judged_by)
    named = {question.user for question in (*dev, *heldout)}
    if not judged_by[0]:
        share, seed = config.evaluate.holdout, config.seed
        evaluation = [q for q in pool if q.user not in named and is_held_out(q, share, seed)]
    asked = {question.user for question in evaluation} | named
    training = [question for question in pool if question.user not in asked]
    if not training or not evaluation:
        raise DatasetError(
            f"{len(pool)} questions give {len(training)} to train on and {len(evaluation)} to evaluate with; "
            "add questions, change evaluate.holdout, or give evaluate.datasets of their own"
        )
    leaked = len(pool) - len(training) - (0 if judged_by[0] else len(evaluation))
    every = (*sources, *(source for each in judged_by for source in each))
    return QuestionSplit(tuple(training), tuple(evaluation), tuple(dev), tuple(heldout), every, leaked)


def is_held_out(question: Question, share: float, seed: int) -> bool:
    """Whether a question belongs to evaluation: by a hash of its text, so that no other question changes it.

    Of its passage, where it has one: else training would have read what evaluation asks about.
    """
    digest = hashlib.sha256(f"{seed}/{question.passage or question.user}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def unique_id(wanted: str, owner: str, taken: Collection[str]) -> str:
    """The id itself, else `owner#id`, else `owner#2#id` and so on: the first that is not taken.

    Numbered, because an owner's name may come again too, as with several configurations of one Hub dataset.
    """
    further = (f"{owner}#{number}#{wanted}" for number in count(2))
    return next(each for each in chain((wanted, f"{owner}#{wanted}"), further) if each not in taken)


def uniquely_named(question: Question, owner: str, taken: set[str]) -> Question:
    """The question under an id that no other has; `taken` grows by it."""
    unique = unique_id(question.id, owner, taken)
    taken.add(unique)
    return question.model_copy(update={"id": unique})


def _read_all(sources: tuple[DatasetSource, ...], pvc_root: Path) -> list[Source]:
    return [read_source(source, pvc_root) for source in sources]


def _apart(groups: Sequence[list[Source]]) -> list[list[Question]]:
    """The questions of each group, ids made unique over all of them. Raises DatasetError where two ask the same."""
    names = ("evaluate.datasets", "evaluate.dev", "evaluate.heldout")
    taken: set[str] = set()
    asked: dict[str, str] = {}
    out: list[list[Question]] = []
    for name, group in zip(names, groups, strict=True):
        out.append(_distinct(group, taken))
        for question in out[-1]:
            before = asked.setdefault(question.user, name)
            if before != name:
                raise DatasetError(f"{before} and {name} both ask {question.user[:80]!r}; part them")
    return out


def _distinct(sources: Sequence[Source], taken: set[str]) -> list[Question]:
    """All questions, ids made unique by the name of their dataset where two clash; `taken` grows by theirs."""
    return [uniquely_named(question, source.name, taken) for source in sources for question in source.questions]
