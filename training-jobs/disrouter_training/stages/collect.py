"""Stage `collect`: how often the base model answers each training question right (section 3.2.2).

The only stage that reads the datasets. Leaves `splits/NAME.jsonl`, the questions of each split, for the stages after
it; and `shards/NNNN.jsonl`, one row per training question: the question, its N samples with their correctness, and the
frequency of correct ones, which is the measure of competence.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from disrouter.artifacts import Engine, Stage, write_atomically
from disrouter_training.data.correctness import final_answer, is_right
from disrouter_training.data.samples import Collected
from disrouter_training.data.second_reading import second_reading
from disrouter_training.data.shards import Row, missing, parted, read_shard, run_shards, shard_path
from disrouter_training.data.sources import Question
from disrouter_training.data.split import Splits, split_questions
from disrouter_training.data.split_files import write_splits
from disrouter_training.data.survey import Survey
from disrouter_training.errors import DatasetError
from disrouter_training.generation.context import too_long
from disrouter_training.generation.encoding import Encoder
from disrouter_training.generation.engines import chosen, open_generator, rollout_memory
from disrouter_training.generation.first_token import first_tokens
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
    job.say(f"{Stage.COLLECT}: reads {len(job.config.datasets)} training datasets and those to judge by")
    splits = split_questions(job.config, job.pvc_root)
    job.say(first_tokens(Encoder(job.base_model())).told(job.config.model))
    rollout_memory(chosen(job.config.rl.rollouts, "rl.rollouts"), job.base_model())
    splits = _fitting(job, splits)
    record = write_splits(folder, splits)
    report_invalid_rows(job, splits, folder / "invalid_rows.jsonl")
    sampling = Sampling(
        samples=config.samples,
        temperature=config.temperature,
        max_new_tokens=config.max_new_tokens,
        batch_size=config.batch_size,
    )
    shards = parted(splits.train, sampling.prompts_at_once, [folder / "shards"])
    engine = chosen(config.engine, "collect.engine")
    rows, survey = _collected(job, shards, sampling, engine)
    frequencies = [float(row["frequency"]) for row in rows]
    mean = round(sum(frequencies) / len(frequencies), 4)
    metrics = {"engine": engine, "meanFrequency": mean, "histogram": _histogram(rows), "datasets": survey.summary()}
    job.finish(Stage.COLLECT, {"splits": record, **splits.summary(), **metrics}, started)


def _fitting(job: Job, splits: Splits) -> Splits:
    """Without the questions that are too long for the model, which are counted aloud."""
    questions = [question for group in splits.by_name.values() for question in group]
    limit = job.config.collect.max_new_tokens
    long = too_long(job.base_model(), questions, limit)
    if long:
        job.say(
            f"{len(long)} of {len(questions)} questions are not used: with {limit} tokens of a reply they do not fit"
        )
    return splits.without(long)


def _collected(job: Job, shards: list[list[Question]], sampling: Sampling, engine: Engine) -> tuple[list[Row], Survey]:
    """The rows of all shards and what their replies look like. Raises DatasetError where these teach nothing."""
    folder, survey = job.folder(Stage.COLLECT) / "shards", Survey()
    progress = job.progress(Stage.COLLECT, "samples", len(shards))
    left = missing(folder, shards)
    progress.resume(len(shards) - len(left))
    prompts = [must_answer(question) for part in shards for question in part]
    name, limit = job.base_model(), sampling.max_new_tokens
    if left:
        asked = sum(len(shards[number]) for number in left)
        job.say(
            f"{Stage.COLLECT}: loads {name}, then asks it {asked} questions {sampling.samples} times each ({engine})"
        )
    generator = open_generator(name, engine, prompts, limit, job.stop, told=progress.within) if left else None

    def work(part: Sequence[Question], number: int) -> list[Row]:
        assert generator is not None
        sampled = generator.samples([must_answer(question) for question in part], sampling, job.seed("collect", number))
        return [_graded(question, samples).row() for question, samples in zip(part, sampled, strict=True)]

    for number, part in enumerate(shards):
        known = read_shard(shard_path(folder, number), part) if number not in left else []
        _look(job, survey, known, complete=False)

    def units(rows: Sequence[Row]) -> int:
        _look(job, survey, rows, complete=False)
        progress.note = f"{survey.accuracy:.1%} right so far"
        return sum(len(row["samples"]) for row in rows)

    rows = run_shards(folder, shards, work, progress, units)
    for line in survey.lines():
        job.say(line)
    _look(job, survey, [], complete=True)
    return rows, survey


def _look(job: Job, survey: Survey, rows: Sequence[Row], *, complete: bool) -> None:
    """Show the first replies of each dataset; stop where all of them together say that going on makes no sense."""
    for line in survey.add(rows):
        job.say(line)
    problem = survey.problem(complete=complete)
    if problem is not None:
        for line in survey.replies():
            job.say(line)
        raise DatasetError(problem)


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
    correct = tuple(is_right(question, reply) for reply in replies)
    finals = [final_answer(question, reply) for reply in replies]
    unmarked = tuple(final is None or not final.marked for final in finals)
    second = second_reading(question, replies[0])
    return Collected(question, replies, correct, cut, unmarked, None if second is None else second != correct[0])


def _histogram(rows: Sequence[Row]) -> list[int]:
    """Questions by tenths of competence; the last bin is 1.0 itself."""
    bins = [0] * 11
    for row in rows:
        bins[int(row["frequency"] * 10 + 1e-9)] += 1
    return bins
