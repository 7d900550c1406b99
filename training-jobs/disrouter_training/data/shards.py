"""Work over many questions in shards, each a file that is either whole or not there: killing loses one shard."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from disrouter.artifacts import write_atomically
from disrouter_training.data.sources import Question
from disrouter_training.errors import DatasetError
from disrouter_training.process.progress import Progress

MAX_SHARDS = 256
"""Files of a stage; a large run gets larger shards instead of more."""

Row = dict[str, Any]
Work = Callable[[Sequence[Question], int], list[Row]]
"""Rows of a shard, one a question with its `id`, from the questions and the shard's number."""


def shard(questions: Sequence[Question], batch: int) -> list[list[Question]]:
    """Longest first, at least `batch` questions per shard."""
    return _cut(questions, max(1, batch, math.ceil(len(questions) / MAX_SHARDS)))


def parted(questions: Sequence[Question], batch: int, folders: Iterable[Path]) -> list[list[Question]]:
    """As the shards in these folders, which are parted alike, whatever `batch` was then; without any, as `shard`."""
    there = sorted(path for folder in folders for path in folder.glob("[0-9]*.jsonl"))
    size = len(read_rows(min(there, key=lambda path: path.name))) if there else 0
    return _cut(questions, size) if size else shard(questions, batch)


def longest_first(questions: Iterable[Question]) -> list[Question]:
    """The order of shards: little padding, and out of memory early if at all."""
    return sorted(questions, key=lambda question: (-len(question.user), question.id))


def _cut(questions: Sequence[Question], size: int) -> list[list[Question]]:
    ordered = longest_first(questions)
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def missing(folder: Path, shards: Sequence[Sequence[Question]]) -> list[int]:
    """Numbers of the shards that have no file yet."""
    return [number for number in range(len(shards)) if not shard_path(folder, number).exists()]


def run_shards(
    folder: Path,
    shards: Sequence[Sequence[Question]],
    work: Work,
    progress: Progress,
    units: Callable[[Sequence[Row]], int],
) -> list[Row]:
    """Do the missing shards in order and return the rows of all."""
    for number in missing(folder, shards):
        rows = work(shards[number], number)
        write_rows(shard_path(folder, number), rows)
        progress.advance(units(rows))
    return [row for number, part in enumerate(shards) for row in read_shard(shard_path(folder, number), part)]


def read_shard(path: Path, questions: Sequence[Question]) -> list[Row]:
    """The rows of a shard. Raises DatasetError if they are not about these questions."""
    rows = read_rows(path)
    if [row.get("id") for row in rows] != [question.id for question in questions]:
        raise DatasetError(f"{path} is about other questions: the datasets changed after it was written; delete it")
    return rows


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """A JSONL file that `read_rows` reads, whole or not at all."""
    write_atomically(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_rows(path: Path) -> list[Row]:
    """Rows of a JSONL file that this package wrote. Strings in it may hold every line break but LF (`splitlines`)."""
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    except ValueError as error:
        raise DatasetError(f"{path} is damaged ({error}); delete it and run the stage again") from error


def shard_path(folder: Path, number: int) -> Path:
    """File of one shard."""
    return folder / f"{number:04d}.jsonl"
