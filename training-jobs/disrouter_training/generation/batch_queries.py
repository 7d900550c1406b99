"""Many questions asked of several models, in several ways. Replies are kept in shards, so killing loses little.

A query is all questions asked of one model in one way. Queries that ask the same model should follow each other: one
model is in memory at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from disrouter_training.data.shards import Row, missing, parted, run_shards
from disrouter_training.data.sources import Question
from disrouter_training.generation.prompts import Prompt
from disrouter_training.generation.transformers_generator import Sampling, Told, TransformersGenerator, greedy
from disrouter_training.job import Job
from disrouter_training.process.progress import Clock, Progress, Say, say_on_stderr
from disrouter_training.process.stop import StopSignal

QUESTIONS_AT_ONCE = 8
"""Parts that questions are cut into at least."""

Phrase = Callable[[Question], Prompt]
"""How a question is put."""
Ask = Callable[[TransformersGenerator, Sequence[Question], int], list[Row]]
"""A row per question, with its `id`, from a model, some questions and the number of their shard."""


@dataclass(frozen=True)
class Query:
    """All questions asked of one model in one way. `name` is the folder of its shards."""

    name: str
    model: str
    ask: Ask


@dataclass(frozen=True)
class BatchQueries:
    """Queries of a stage: the folder of their replies, how they are sampled, and the world around them."""

    folder: Path
    """Of the replies; how far they are is written beside it."""
    label: str
    """What progress is reported as."""
    sampling: Sampling
    stop: StopSignal = field(default_factory=StopSignal)
    say: Say = say_on_stderr
    clock: Clock = time.monotonic

    @classmethod
    def of(cls, job: Job, folder: Path, label: str) -> BatchQueries:
        """The greedy queries of a run, with its limits."""
        return cls(folder, label, greedy(job.config.collect), job.stop, job.say, job.clock)

    def ask(self, questions: Sequence[Question], queries: Sequence[Query]) -> dict[str, list[Row]]:
        """Rows of every query. A model is loaded once, and only if a reply of it is missing."""
        batch = min(self.sampling.prompts_at_once, max(1, len(questions) // QUESTIONS_AT_ONCE))
        shards = parted(questions, batch, [self.folder / query.name for query in queries])
        progress = Progress(
            self.label, "replies", len(shards) * len(queries), self.folder.parent, say=self.say, clock=self.clock
        )
        progress.resume(len(shards) * len(queries) - sum(len(missing(self.folder / p.name, shards)) for p in queries))
        models = Models(self.stop, progress.within)
        rows: dict[str, list[Row]] = {}
        for item in queries:

            def work(part: Sequence[Question], number: int, item: Query = item) -> list[Row]:
                return item.ask(models.get(item.model), part, number)

            rows[item.name] = run_shards(self.folder / item.name, shards, work, progress, len)
        return rows


class Models:
    """The model asked last; loading another one lets go of it, so that only one is in memory."""

    def __init__(self, stop: StopSignal, told: Told = lambda _: None) -> None:
        self._stop, self._told = stop, told
        self._name = ""
        self._generator: TransformersGenerator | None = None

    def get(self, name: str) -> TransformersGenerator:
        """Raises ModelError where it cannot be loaded."""
        if self._generator is None or self._name != name:
            self._generator = None
            self._generator, self._name = TransformersGenerator(name, self._stop, self._told), name
        return self._generator


def reply(phrase: Phrase, sampling: Sampling) -> Ask:
    """The greedy reply, as `reply`."""

    def ask(model: TransformersGenerator, part: Sequence[Question], _number: int) -> list[Row]:
        texts = model.replies([phrase(question) for question in part], sampling, seed=0)
        return [{"id": question.id, "reply": text[0]} for question, text in zip(part, texts, strict=True)]

    return ask


def replies(phrase: Phrase, sampling: Sampling, seed: Callable[[int], int]) -> Ask:
    """All samples, as `replies`. `seed` gives each shard its own."""

    def ask(model: TransformersGenerator, part: Sequence[Question], number: int) -> list[Row]:
        texts = model.replies([phrase(question) for question in part], sampling, seed(number))
        return [{"id": question.id, "replies": each} for question, each in zip(part, texts, strict=True)]

    return ask


def first_token(phrase: Phrase, batch: int) -> Ask:
    """How likely a reply begins as a refusal does, and as an answer does: `chances`, in the order of `tokens`."""

    def ask(model: TransformersGenerator, part: Sequence[Question], _number: int) -> list[Row]:
        tokens = model.first_tokens()
        signals = model.signals([phrase(question) for question in part], tokens, batch)
        either = [tokens.refusal, tokens.answer]
        return [
            {"id": question.id, "chances": list(each), "tokens": either}
            for question, each in zip(part, signals, strict=True)
        ]

    return ask
