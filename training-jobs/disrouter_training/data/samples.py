"""Questions with the base model's samples: what stage `collect` leaves and stage `sft` learns from."""

from __future__ import annotations

from dataclasses import dataclass

from disrouter.artifacts import RunLayout, Stage
from disrouter_training.data.shards import Row, longest_first, read_rows
from disrouter_training.data.sources import Question
from disrouter_training.data.split import TRAIN
from disrouter_training.data.split_files import read_split
from disrouter_training.errors import DatasetError


@dataclass(frozen=True)
class Collected:
    """A question with what the base model made of it."""

    question: Question
    replies: tuple[str, ...]
    correct: tuple[bool, ...]
    cut: tuple[bool, ...] = ()
    """Which replies were cut at `collect.maxNewTokens`; empty where none is known to be."""
    unmarked: tuple[bool, ...] = ()
    """Which replies do not announce their answer; empty where it is not known."""
    differs: bool | None = None
    """Whether a second reading of the first reply comes to another verdict; None where there is none."""

    @property
    def whole(self) -> list[str]:
        """Replies that ended by themselves."""
        known = self.cut or (False,) * len(self.replies)
        return [reply for reply, cut in zip(self.replies, known, strict=True) if not cut]

    @property
    def frequency(self) -> float:
        """Share of correct replies: the model's competence on the question."""
        return sum(self.correct) / len(self.correct)

    def row(self) -> Row:
        """As written to a shard."""
        samples: list[Row] = [
            {"reply": reply, "correct": ok} for reply, ok in zip(self.replies, self.correct, strict=True)
        ]
        for name, flags in (("cut", self.cut), ("unmarked", self.unmarked)):
            for sample, flag in zip(samples, flags, strict=False):
                if flag:
                    sample[name] = True
        if self.differs is not None:
            samples[0]["differs"] = self.differs
        question = self.question.model_dump(mode="json", exclude_none=True)
        return {"id": self.question.id, "question": question, "frequency": self.frequency, "samples": samples}

    @classmethod
    def of_row(cls, question: Question, row: Row) -> Collected:
        """From the question's row of a shard."""
        samples = row["samples"]
        replies, correct = tuple(s["reply"] for s in samples), tuple(s["correct"] for s in samples)
        return cls(question, replies, correct, tuple(s.get("cut", False) for s in samples))


def read_collected(layout: RunLayout) -> list[Collected]:
    """The training questions of a run with their samples, in the order of the shards.

    Raises ArtifactError before `collect` is complete, and DatasetError where split and shards do not fit.
    """
    folder = layout.stage(Stage.COLLECT)
    ordered = longest_first(read_split(layout, TRAIN))
    paths = sorted((folder / "shards").glob("[0-9]*.jsonl"))
    rows = [row for path in paths for row in read_rows(path)]
    if [row.get("id") for row in rows] != [question.id for question in ordered]:
        raise DatasetError(f"the shards of {folder} are not about its train split; delete {folder} to collect again")
    return [Collected.of_row(question, row) for question, row in zip(ordered, rows, strict=True)]
