"""Stage `collect`: how often the base model answers each training question right (section 3.2.2).

The only stage that reads the datasets. Leaves `splits/NAME.jsonl`, the questions of each split, for the stages after
it; and `shards/NNNN.jsonl`, one row per training question: the question, its N samples with their correctness, and the
frequency of correct ones, which is the measure of competence.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from disrouter.artifacts import Stage, write_atomically
from disrouter_training.data.correctness import is_right
from disrouter_training.data.samples import Collected
from disrouter_training.data.shards import Row, missing, run_shards, shard
from disrouter_training.data.sources import Question
from disrouter_training.data.split import Splits, split_questions
from disrouter_training.data.split_files import write_splits
from disrouter_training.generation.engines import chosen, open_generator
from disrouter_training.generation.prompts import must_answer
from disrouter_training.generation.transformers_generator import Sample, Sampling
from disrouter_training.job import Job

SHOWN_INVALID_ROWS = 5
"""Invalid rows printed; all of them are in `invalid_rows.jsonl`."""


def collect(job: Job) -> None:
    """Run or resume the stage."""
    started = job.clock()
    config = job.config.collect
    folder = job.folder(Stage.COLLECT)
    splits = split_questions(job.config, job.pvc_root)
    record = write_splits(folder, splits)
    report_invalid_rows(job, splits, folder / "invalid_rows.jsonl")
    sampling = Sampling(
        samples=config.samples,
        temperature=config.temperature,
        max_new_tokens=config.max_new_tokens,
        batch_size=config.batch_size,
    )
    shards = shard(splits.train, sampling.prompts_at_once)
    progress = job.progress(Stage.COLLECT, "samples", len(shards))
    left = missing(folder / "shards", shards)
    progress.resume(len(shards) - len(left))
    engine = chosen(config.engine, "collect.engine")
    prompts = [must_answer(question) for question in splits.train]
    name = job.base_model()
    generator = open_generator(name, engine, prompts, config.max_new_tokens, job.stop) if left else None

    def work(part: Sequence[Question], number: int) -> list[Row]:
        assert generator is not None
        sampled = generator.samples([must_answer(question) for question in part], sampling, job.seed("collect", number))
        return [_graded(question, samples).row() for question, samples in zip(part, sampled, strict=True)]

    rows = run_shards(folder / "shards", shards, work, progress, lambda rows: sum(len(row["samples"]) for row in rows))
    frequencies = [float(row["frequency"]) for row in rows]
    mean = round(sum(frequencies) / len(frequencies), 4)
    metrics = {"engine": engine, "meanFrequency": mean, "histogram": _histogram(rows)}
    job.finish(Stage.COLLECT, {"splits": record, **splits.summary(), **metrics}, started)


def report_invalid_rows(job: Job, splits: Splits, path: Path) -> None:
    """Say which rows were filtered as invalid and why, and keep the whole list."""
    invalid = splits.invalid_rows()
    for name, row in invalid[:SHOWN_INVALID_ROWS]:
        job.say(f"invalid: {name} {row.where}: {row.reason}")
    if invalid:
        job.say(f"{len(invalid)} invalid rows are not used; all are listed in {path}")
        lines = [json.dumps({"dataset": name, "where": row.where, "reason": row.reason}) for name, row in invalid]
        write_atomically(path, "\n".join(lines) + "\n")


def _graded(question: Question, samples: Sequence[Sample]) -> Collected:
    replies, cut = tuple(sample.text for sample in samples), tuple(sample.cut for sample in samples)
    correct = (is_right(question, reply) for reply in replies)
    return Collected(question, replies, tuple(correct), cut)


def _histogram(rows: Sequence[Row]) -> list[int]:
    """Questions by tenths of competence; the last bin is 1.0 itself."""
    bins = [0] * 11
    for row in rows:
        bins[int(row["frequency"] * 10 + 1e-9)] += 1
    return bins
