"""Questions with the base model's samples: what stage `collect` leaves and stage `sft` learns from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from disrouter_training.data.shards import Row, read_rows
from disrouter_training.data.sources import Question


@dataclass(frozen=True)
class Collected:
    """A question with what the base model made of it."""

    question: Question
    replies: tuple[str, ...]
    correct: tuple[bool, ...]
    cut: tuple[bool, ...] = ()
    """Which replies were cut at `collect.maxNewTokens`; empty where none is known to be."""

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
        for sample, cut in zip(samples, self.cut, strict=False):
            if cut:
                sample["cut"] = True
        question = self.question.model_dump(mode="json", exclude_none=True)
        return {"id": self.question.id, "question": question, "frequency": self.frequency, "samples": samples}

    @classmethod
    def of_row(cls, row: Row) -> Collected:
        """From a shard."""
        samples = row["samples"]
        question = Question.model_validate(row["question"])
        replies, correct = tuple(s["reply"] for s in samples), tuple(s["correct"] for s in samples)
        return cls(question, replies, correct, tuple(s.get("cut", False) for s in samples))


def read_collected(folder: Path) -> list[Collected]:
    """Everything the finished stage left in its directory."""
    paths = sorted((folder / "shards").glob("[0-9]*.jsonl"))
    return [Collected.of_row(row) for path in paths for row in read_rows(path)]
