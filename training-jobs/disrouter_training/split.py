"""Which questions train and which judge. A pure function of the run's inputs, so every stage sees the same split."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disrouter.artifacts import DatasetSource, RunConfig
from disrouter_training.errors import DatasetError
from disrouter_training.sources import BadRow, Question, Source, read_source


@dataclass(frozen=True)
class QuestionSplit:
    """Questions to train on, questions to judge by, and what was left out of either."""

    training: tuple[Question, ...]
    evaluation: tuple[Question, ...]
    sources: tuple[Source, ...]
    leaked: int
    """Training questions dropped because evaluation asks the same."""

    def summary(self) -> dict[str, Any]:
        """Counts and fingerprints for `done.json`."""
        return {
            "training": len(self.training),
            "evaluation": len(self.evaluation),
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
    pool = _distinct(sources)
    judged_by = _read_all(config.evaluate.datasets, pvc_root)
    if judged_by:
        evaluation = _distinct(judged_by)
    else:
        evaluation = [question for question in pool if is_held_out(question, config.evaluate.holdout, config.seed)]
    asked = {question.user for question in evaluation}
    training = [question for question in pool if question.user not in asked]
    if not training or not evaluation:
        raise DatasetError(
            f"{len(pool)} questions give {len(training)} to train on and {len(evaluation)} to evaluate with; "
            "add questions, change evaluate.holdout, or give evaluate.datasets of their own"
        )
    leaked = len(pool) - len(training) if judged_by else 0
    return QuestionSplit(tuple(training), tuple(evaluation), (*sources, *judged_by), leaked)


def is_held_out(question: Question, share: float, seed: int) -> bool:
    """Whether a question belongs to evaluation: by a hash of its text, so that no other question changes it."""
    digest = hashlib.sha256(f"{seed}/{question.user}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def _read_all(sources: tuple[DatasetSource, ...], pvc_root: Path) -> list[Source]:
    return [read_source(source, pvc_root) for source in sources]


def _distinct(sources: list[Source]) -> list[Question]:
    """All questions, ids made unique over the datasets by the name of theirs where two clash."""
    questions: dict[str, Question] = {}
    for source in sources:
        for question in source.questions:
            unique = question.id if question.id not in questions else f"{source.name}#{question.id}"
            questions[unique] = question.model_copy(update={"id": unique})
    return list(questions.values())
