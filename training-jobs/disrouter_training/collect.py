"""Stage `collect`: how often the base model answers each training question right (section 3.2.2).

Leaves `shards/NNNN.jsonl`, a row a question: the question, its N samples with their correctness, and the frequency
of correct ones, which is the measure of competence.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from disrouter.artifacts import Stage, write_atomically
from disrouter_training.engines import chosen, open_generator
from disrouter_training.generation import Sample, Sampling
from disrouter_training.graders import is_correct
from disrouter_training.job import Job
from disrouter_training.prompts import forced
from disrouter_training.shards import Row, missing, read_rows, run_shards, shard
from disrouter_training.sources import Question
from disrouter_training.split import QuestionSplit, split_questions

SHOWN_BAD_ROWS = 5
"""Bad rows printed; all of them are in `bad_rows.jsonl`."""


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


def collect(job: Job) -> None:
    """Run or resume the stage."""
    started = job.clock()
    config = job.config.collect
    folder = job.folder(Stage.COLLECT)
    questions = split_questions(job.config, job.pvc_root)
    report_bad_rows(job, questions, folder / "bad_rows.jsonl")
    sampling = Sampling(
        samples=config.samples,
        temperature=config.temperature,
        max_new_tokens=config.max_new_tokens,
        batch_size=config.batch_size,
    )
    shards = shard(questions.training, sampling.prompts_at_once)
    progress = job.progress(Stage.COLLECT, "samples", len(shards))
    left = missing(folder / "shards", shards)
    progress.resume(len(shards) - len(left))
    engine = chosen(config.engine, "collect.engine")
    prompts = [forced(question) for question in questions.training]
    name = job.base_model()
    generator = open_generator(name, engine, prompts, config.max_new_tokens, job.stop) if left else None

    def work(part: Sequence[Question], number: int) -> list[Row]:
        assert generator is not None
        told = generator.samples([forced(question) for question in part], sampling, job.seed("collect", number))
        return [_graded(question, samples).row() for question, samples in zip(part, told, strict=True)]

    rows = run_shards(folder / "shards", shards, work, progress, lambda rows: sum(len(row["samples"]) for row in rows))
    frequencies = [float(row["frequency"]) for row in rows]
    mean = round(sum(frequencies) / len(frequencies), 4)
    metrics = {"engine": engine, "meanFrequency": mean, "histogram": _histogram(rows)}
    job.finish(Stage.COLLECT, {**questions.summary(), **metrics}, started)


def read_collected(folder: Path) -> list[Collected]:
    """Everything the finished stage left in its directory."""
    paths = sorted((folder / "shards").glob("[0-9]*.jsonl"))
    return [Collected.of_row(row) for path in paths for row in read_rows(path)]


def report_bad_rows(job: Job, questions: QuestionSplit, path: Path) -> None:
    """Say which rows were left out and why, and keep the whole list."""
    bad = questions.bad_rows()
    for name, row in bad[:SHOWN_BAD_ROWS]:
        job.say(f"left out: {name} {row.where}: {row.reason}")
    if bad:
        job.say(f"{len(bad)} bad rows were left out; all are listed in {path}")
        lines = [json.dumps({"dataset": name, "where": row.where, "reason": row.reason}) for name, row in bad]
        write_atomically(path, "\n".join(lines) + "\n")


def _graded(question: Question, samples: Sequence[Sample]) -> Collected:
    replies, cut = tuple(sample.text for sample in samples), tuple(sample.cut for sample in samples)
    correct = (is_correct(question.grader, question.answer, reply) for reply in replies)
    return Collected(question, replies, tuple(correct), cut)


def _histogram(rows: Sequence[Row]) -> list[int]:
    """Questions by tenths of competence; the last bin is 1.0 itself."""
    bins = [0] * 11
    for row in rows:
        bins[int(row["frequency"] * 10 + 1e-9)] += 1
    return bins
