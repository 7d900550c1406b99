"""Which questions train and which judge: a pure function of the run's inputs and of what its datasets hold."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

from disrouter.artifacts import DatasetSource, RunConfig
from disrouter_training.data.sources import InvalidRow, Question, Source, read_source
from disrouter_training.errors import DatasetError

TRAIN, DEV, TEST, HELDOUT = "train", "dev", "test", "heldout"
"""Questions to train on, to choose everything by, of the kinds trained on, and of other kinds."""
JUDGED = (TEST, DEV, HELDOUT)
"""Splits that are never trained on."""


@dataclass(frozen=True)
class Splits:
    """The questions of a run by their use, and what was filtered out of them."""

    train: tuple[Question, ...]
    test: tuple[Question, ...]
    dev: tuple[Question, ...]
    """What thresholds and calibration are chosen by; empty where the run names none."""
    heldout: tuple[Question, ...]
    """Out-of-domain questions; empty where the run names none."""
    sources: tuple[Source, ...]
    leaked: int
    """Training questions dropped because a judged split asks the same."""
    too_long: int = 0
    """Questions of all splits dropped because no reply fits behind them."""

    @property
    def by_name(self) -> dict[str, tuple[Question, ...]]:
        """Every split that has questions, the one to train on first."""
        named = {TRAIN: self.train, TEST: self.test, DEV: self.dev, HELDOUT: self.heldout}
        return {name: questions for name, questions in named.items() if questions}

    def summary(self) -> dict[str, Any]:
        """Counts and fingerprints for `done.json`."""
        return {
            "droppedAsEvaluation": self.leaked,
            "droppedAsTooLong": self.too_long,
            "invalidRows": sum(len(source.invalid) for source in self.sources),
            "sources": [
                {
                    "name": source.name,
                    "questions": len(source.questions),
                    "filtered": source.filtered,
                    "fingerprint": source.fingerprint,
                }
                for source in self.sources
            ],
        }

    def without(self, long: Collection[str]) -> Splits:
        """Without the questions of these ids. Raises DatasetError if none is left to train on or to judge by."""
        groups = (self.train, self.test, self.dev, self.heldout)
        train, test, dev, heldout = (tuple(q for q in group if q.id not in long) for group in groups)
        if not train or not test:
            raise DatasetError(
                f"{len(long)} questions do not fit the model's context with a reply of collect.maxNewTokens, and none "
                f"is left to {'evaluate with' if train else 'train on'}: lower it, or take one with a longer context"
            )
        return replace(self, train=train, test=test, dev=dev, heldout=heldout, too_long=len(long))

    def invalid_rows(self) -> list[tuple[str, InvalidRow]]:
        """Every invalid row with the name of its dataset."""
        return [(source.name, row) for source in self.sources for row in source.invalid]


def split_questions(config: RunConfig, pvc_root: Path) -> Splits:
    """Read all datasets of a run and part them. Raises DatasetError if there is nothing to train on or to judge by."""
    named = {
        "evaluate.datasets": _read_all(config.evaluate.datasets, pvc_root),
        "evaluate.dev": _read_all(config.evaluate.dev, pvc_root),
        "evaluate.heldout": _read_all(config.evaluate.heldout, pvc_root),
    }
    sources = _read_all(config.datasets, pvc_root)
    ids: set[str] = set()
    groups = {name: _distinct(group, ids) for name, group in named.items()}
    candidates = _distinct(sources, ids)
    judged = judged_texts(groups)
    test, dev, heldout = groups.values()
    if not named["evaluate.datasets"]:
        share, seed = config.evaluate.holdout, config.seed
        test = [q for q in candidates if q.user not in judged and is_held_out(q, share, seed)]
    judged |= {question.user for question in test}
    train = [question for question in candidates if question.user not in judged]
    if not train or not test:
        raise DatasetError(
            f"{len(candidates)} questions give {len(train)} to train on and {len(test)} to evaluate with; "
            "add questions, change evaluate.holdout, or give evaluate.datasets of their own"
        )
    leaked = len(candidates) - len(train) - (0 if named["evaluate.datasets"] else len(test))
    every = (*sources, *(source for group in named.values() for source in group))
    return Splits(tuple(train), tuple(test), tuple(dev), tuple(heldout), every, leaked)


def judged_texts(groups: Mapping[str, Sequence[Question]]) -> set[str]:
    """What some judged splits ask, as user messages. Raises DatasetError that names two which ask the same."""
    owners: dict[str, str] = {}
    for name, questions in groups.items():
        for question in questions:
            owner = owners.setdefault(question.user, name)
            if owner != name:
                raise DatasetError(f"{owner} and {name} both ask {question.user[:80]!r}; part them")
    return set(owners)


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


def _distinct(sources: Sequence[Source], taken: set[str]) -> list[Question]:
    """All questions, ids made unique by the name of their dataset where two clash; `taken` grows by theirs."""
    return [uniquely_named(question, source.name, taken) for source in sources for question in source.questions]
