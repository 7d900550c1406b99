"""Datasets that change while a run is trained: `collect` alone reads them, so nothing that was trained on is judged."""

import json
from pathlib import Path
from typing import Any

import pytest

from disrouter.artifacts import Stage
from disrouter_training.data.shards import read_rows
from disrouter_training.data.split import TEST, TRAIN
from disrouter_training.data.split_files import read_split
from support.tiny_agent import question_rows
from support.trainer import RUN, Trainer

SMALL: dict[str, Any] = {
    "datasets": [{"file": "pvc://data/train.jsonl"}],
    "collect": {"samples": 8, "maxNewTokens": 16, "batchSize": 256},
    "sft": {"samples": 96, "learningRate": 2e-3, "batchSize": 16},
    "rl": {"steps": 2, "learningRate": 2e-4, "promptsPerStep": 12, "generations": 2},
    "evaluate": {"datasets": [{"file": "pvc://data/test.jsonl"}]},
}


def write(trainer: Trainer, name: str, rows: list[dict[str, Any]]) -> None:
    (trainer.volumes / "data" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def trainer(volumes: Path, tmp_path: Path) -> Trainer:
    """A run whose 40 training and 20 test questions are files of its own."""
    root = tmp_path / "volumes"
    (root / "data").mkdir(parents=True)
    (root / "models").symlink_to(volumes / "models")
    (root / "run.json").write_text(json.dumps({**RUN, **SMALL}))
    trainer = Trainer(root, tmp_path / "artifacts")
    write(trainer, "train", question_rows()[:40])
    write(trainer, "test", question_rows()[40:])
    return trainer


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "evaluation.json", folder / "predictions.jsonl")}


def test_evaluate_judges_what_collect_set_aside_though_both_datasets_are_other_ones_now(
    trainer: Trainer, tmp_path: Path
) -> None:
    assert trainer("collect") == 0
    for name in ("train", "test"):
        (trainer.volumes / "data" / f"{name}.jsonl").unlink()
    assert [trainer(stage) for stage in ("sft", "rl")] == [0, 0]
    swapped = [{**row, "answer": "none of them"} for row in question_rows()]
    write(trainer, "train", swapped[40:])
    write(trainer, "test", swapped[:40])
    assert trainer("evaluate") == 0
    folder = trainer.layout.stage(Stage.EVALUATE)
    judged = {row["id"] for row in read_rows(folder / "predictions.jsonl")}
    assert judged == {row["id"] for row in question_rows()[40:]}
    assert not judged & {question.id for question in read_split(trainer.layout, TRAIN)}
    ours = files(folder)
    write(trainer, "train", question_rows()[:40])
    write(trainer, "test", question_rows()[40:])
    trainer.forget("evaluate")
    assert trainer("evaluate") == 0
    assert files(folder) == ours, "the same answers count as right as before"


def test_a_report_judges_by_what_was_set_aside_too(trainer: Trainer, finished: Trainer) -> None:
    trainer.take(finished, "sft", "rl")
    assert [trainer(stage) for stage in ("collect", "evaluate")] == [0, 0]
    (trainer.volumes / "data" / "test.jsonl").unlink()
    (trainer.volumes / "data" / "train.jsonl").unlink()
    places = ["--cost", "tiny=0.1", "--cost", "big=0.9", "--terminal", f"big={trainer.volumes}/models/tiny"]
    out = trainer.artifacts / "report.json"
    assert trainer("report", *places, "--json", str(out)) == 0
    assert json.loads(out.read_text())["questions"] == {"test": len(read_split(trainer.layout, TEST))} == {"test": 20}


def test_a_collect_that_goes_on_with_another_dataset_says_so(
    trainer: Trainer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trainer("collect") == 0
    folder = trainer.layout.stage(Stage.COLLECT)
    (folder / "done.json").unlink()
    write(trainer, "train", question_rows()[5:40])
    write(trainer, "test", question_rows()[40:] + question_rows()[:5])
    assert trainer("collect") == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert "dataset pvc://data/train.jsonl has changed since collect of this run began" in message
    assert message.endswith(f"put back what it was, or delete {folder} to begin with what it is now")
    write(trainer, "train", question_rows()[:40])
    write(trainer, "test", question_rows()[40:])
    assert trainer("collect") == 0
