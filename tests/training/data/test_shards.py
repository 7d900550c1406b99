"""Shards: what was written is what is read, whatever the model said."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from disrouter_training.data.shards import Row, parted, read_rows, run_shards, shard, shard_path, write_rows
from disrouter_training.data.sources import Question
from disrouter_training.errors import DatasetError
from disrouter_training.process.progress import Progress

BREAKS = "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\r\nh"
"""Every line break that `str.splitlines` knows."""


def test_replies_with_any_line_break_are_read_as_they_were_written(tmp_path: Path) -> None:
    questions = [Question(id=f"q{number}{BREAKS}", question="Which?", answer="red") for number in range(3)]
    shards = shard(questions, 2)
    progress = Progress("collect", "replies", 3, tmp_path, say=lambda _: None, clock=time.monotonic)

    def work(part: Sequence[Question], _: int) -> list[Row]:
        return [{"id": question.id, "reply": BREAKS} for question in part]

    rows = run_shards(tmp_path / "shards", shards, work, progress, len)
    assert [row["reply"] for row in rows] == [BREAKS] * 3


def test_work_that_was_begun_goes_on_in_the_shards_that_are_there_whatever_the_batch_is_now(tmp_path: Path) -> None:
    questions = [Question(id=f"q{number}", question="Which?", answer="red") for number in range(7)]
    begun = parted(questions, 3, [tmp_path])
    assert [len(part) for part in begun] == [3, 3, 1]
    for number in (0, 1):
        write_rows(shard_path(tmp_path, number), [{"id": question.id} for question in begun[number]])
    for batch in (1, 3, 64):
        assert parted(questions, batch, [tmp_path / "empty", tmp_path]) == begun
    assert len(parted(questions, 64, [tmp_path / "empty"])) == 1


def test_a_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "0000.jsonl"
    path.write_text('{"id": 1}\n{"id"')
    with pytest.raises(DatasetError, match=r"is damaged .* delete it and run the stage again"):
        read_rows(path)
