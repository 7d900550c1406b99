"""What replies look like, dataset by dataset: a person sees within minutes whether they are graded as they should be.

A dataset here is what the questions' `kind` says. Pure: rows of `collect` in, lines and numbers out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from disrouter_training.data.shards import Row

SHOWN = 3
"""Replies shown of each dataset."""
SHOWN_CHARACTERS = 240
"""Of each, from its end: that is where the answer stands."""
ENOUGH = 100
"""Questions from which on a verdict on all of them is due."""
EARLY_CUT = 0.9
"""Share of cut replies at which the stage stops early: the longest questions come first, and theirs are cut most."""


@dataclass
class _Dataset:
    questions: int = 0
    replies: int = 0
    correct: int = 0
    cut: int = 0
    unmarked: int = 0
    read_twice: int = 0
    differing: int = 0
    shown: list[str] = field(default_factory=list)

    def add(self, row: Row) -> None:
        self.questions += 1
        for sample in row["samples"]:
            self.replies += 1
            self.correct += sample["correct"]
            self.cut += sample.get("cut", False)
            self.unmarked += sample.get("unmarked", False)
            self.read_twice += "differs" in sample
            self.differing += sample.get("differs", False)
        if len(self.shown) < SHOWN and row["samples"]:
            self.shown.append(_shown(row))

    def summary(self) -> dict[str, Any]:
        count = max(1, self.replies)
        differing = round(self.differing / self.read_twice, 4) if self.read_twice else None
        return {
            "questions": self.questions,
            "correct": round(self.correct / count, 4),
            "unmarked": round(self.unmarked / count, 4),
            "cut": round(self.cut / count, 4),
            "differing": differing,
        }


class Survey:
    """Counts replies as they come."""

    def __init__(self) -> None:
        self._datasets: dict[str, _Dataset] = {}

    def add(self, rows: Iterable[Row]) -> list[str]:
        """Takes rows of a shard; returns the first replies of each dataset that was not seen before, as lines."""
        new: list[str] = []
        for row in rows:
            name = str(row["question"].get("kind") or "questions")
            if name not in self._datasets:
                self._datasets[name] = _Dataset()
                new.append(name)
            self._datasets[name].add(row)
        return [line for name in new for line in self._replies(name)]

    @property
    def accuracy(self) -> float:
        """Share of correct replies so far, in [0, 1]."""
        return self._share("correct")

    def lines(self) -> list[str]:
        """One line a dataset: how many are right, and what may be wrong with the others."""
        out = []
        for name, each in self._datasets.items():
            numbers = each.summary()
            differing = (
                "" if numbers["differing"] is None else f", a second reading differs on {numbers['differing']:.1%}"
            )
            out.append(
                f"{name}: {each.questions} questions, {numbers['correct']:.1%} of replies right; "
                f"{numbers['unmarked']:.1%} do not announce their answer, {numbers['cut']:.1%} are cut{differing}"
            )
        return out

    def summary(self) -> dict[str, Any]:
        """For `done.json`, by dataset."""
        return {name: each.summary() for name, each in self._datasets.items()}

    def problem(self, *, complete: bool) -> str | None:
        """Why going on makes no sense, None while it may: nothing is right, or most replies are cut."""
        questions = sum(each.questions for each in self._datasets.values())
        if questions <= ENOUGH:
            return None
        if self._share("correct") == 0:
            return (
                f"no reply to {questions} questions is right: read the replies above; a base model without chat "
                "training, a grader or an answer column of another kind, or a maxNewTokens that is too small look so"
            )
        cut = self._share("cut")
        if cut > (0.5 if complete else EARLY_CUT):
            return (
                f"{cut:.0%} of the replies to {questions} questions are cut at collect.maxNewTokens, and a cut reply "
                "counts as wrong: raise it, or set sft.samples aside until the replies above end by themselves"
            )
        return None

    def replies(self) -> list[str]:
        """The replies shown of every dataset, for the error that is about them."""
        return [line for name in self._datasets for line in self._replies(name)]

    def _replies(self, name: str) -> Sequence[str]:
        return [f"{name}, a reply: {text}" for text in self._datasets[name].shown]

    def _share(self, count: str) -> float:
        replies = sum(each.replies for each in self._datasets.values())
        return sum(getattr(each, count) for each in self._datasets.values()) / replies if replies else 0.0


def _shown(row: Row) -> str:
    sample = row["samples"][0]
    reply = " ".join(str(sample["reply"]).split())
    end = reply if len(reply) <= SHOWN_CHARACTERS else f"... {reply[-SHOWN_CHARACTERS:]}"
    expected = " or ".join(str(row["question"]["answer"]).split("\u001f"))[:60]
    judged = "right" if sample["correct"] else "cut" if sample.get("cut") else "wrong"
    return f"[{judged}, expected {expected}] {end}"
