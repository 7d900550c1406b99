"""The questions of a pool: what is dropped is counted, and nothing is dropped that the stages keep."""

import json
from pathlib import Path
from typing import Any

import pytest

from disrouter_training.errors import DatasetError
from disrouter_training.pool.file import Pool
from disrouter_training.pool.questions import pool_questions

AGENTS = [{"name": name, "model": "hf://org/name", "cost": cost} for name, cost in (("small", 0.1), ("large", 0.9))]
Rows = list[dict[str, Any]]


def asks(*questions: str, **more: Any) -> Rows:
    return [{"question": question, "answer": "yes", **more} for question in questions]


def pool_of(root: Path, **splits: Rows) -> Pool:
    """A pool whose splits are files of one name, so that their ids clash."""
    for name, rows in splits.items():
        (root / name).mkdir()
        (root / name / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    datasets = {name: [{"file": f"pvc://{name}/q.jsonl"}] for name in splits}
    return Pool.model_validate({"name": "p", "agents": AGENTS, "datasets": datasets})


def test_a_question_that_a_split_repeats_stays_as_in_the_stages(tmp_path: Path) -> None:
    said: list[str] = []
    pool = pool_of(tmp_path, train=asks("a?", "b?", "a?"), dev=asks("c?", "c?"), test=asks("d?"))
    found = pool_questions(pool, tmp_path, said.append)
    assert {name: [q.question for q in split] for name, split in found.splits.items()} == {
        "train": ["a?", "b?", "a?"],
        "dev": ["c?", "c?"],
        "test": ["d?"],
    }
    assert len({question.id for question in found.everything}) == 6
    assert said == []


def test_training_questions_that_judge_are_dropped_and_counted(tmp_path: Path) -> None:
    said: list[str] = []
    pool = pool_of(tmp_path, train=asks("a?", "c?", "d?", "d?"), dev=asks("c?"), test=asks("d?"))
    assert [q.question for q in pool_questions(pool, tmp_path, said.append).splits["train"]] == ["a?"]
    assert said == ["train: 3 of 4 questions are filtered: other splits ask them"]


def test_invalid_rows_of_a_split_are_counted_with_the_first_reason(tmp_path: Path) -> None:
    said: list[str] = []
    train = asks(*(f"{number}?" for number in range(30))) + asks("magic?", grader="magic")
    pool_questions(pool_of(tmp_path, train=train, dev=asks("c?"), test=asks("d?")), tmp_path, said.append)
    assert len(said) == 1
    assert said[0].startswith(
        "train: 1 invalid rows of pvc://train/q.jsonl are not used; line 31: grader: 'magic' is none of"
    )


def test_two_split_that_judge_by_one_question_are_refused(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, train=asks("a?"), dev=asks("c?"), test=asks("c?"))
    with pytest.raises(DatasetError, match=r"dev and test both ask 'c\?'; part them"):
        pool_questions(pool, tmp_path)


def test_a_split_that_nothing_is_left_of_is_named(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, train=asks("c?"), dev=asks("c?"), test=asks("d?"))
    with pytest.raises(DatasetError, match="no question is left for train: other splits ask the same"):
        pool_questions(pool, tmp_path, lambda line: None)
