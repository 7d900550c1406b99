"""A run that names dev and held-out questions beside the gate's: who sees which, and what `evaluate` makes of each."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from disrouter.artifacts import RunConfig, RunLayout, Stage
from disrouter_training.cli import main
from disrouter_training.data.shards import read_rows
from disrouter_training.data.split import split_questions
from disrouter_training.errors import DatasetError
from disrouter_training.evaluation.calibration import platt
from disrouter_training.evaluation.results import read_evaluation
from support.tiny_agent import question_rows
from support.trainer import RUN, Trainer

PARTS = {"test": slice(40, 46), "dev": slice(46, 54), "heldout": slice(54, 60)}


def config(root: Path, **evaluate: Any) -> RunConfig:
    """A run whose splits are parts of its own training questions."""
    for name, part in PARTS.items():
        (root / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in question_rows()[part]))
    named = {"datasets": "test", "dev": "dev", "heldout": "heldout"}
    splits = {field: [{"file": f"file://{root}/{name}.jsonl"}] for field, name in named.items()}
    return RunConfig.model_validate({**RUN, "evaluate": {**splits, **evaluate}})


def test_no_question_that_is_judged_is_trained_on(volumes: Path, tmp_path: Path) -> None:
    split = split_questions(config(tmp_path), volumes)
    assert {name: len(each) for name, each in split.by_name.items()} == {"train": 40, "test": 6, "dev": 8, "heldout": 6}
    judged = {question.user for name, each in split.by_name.items() if name != "train" for question in each}
    assert not judged & {question.user for question in split.train}
    assert (len(split.train), split.leaked) == (40, 20)


def test_held_out_questions_can_be_named_beside_a_share_of_the_training_questions(
    volumes: Path, tmp_path: Path
) -> None:
    split = split_questions(config(tmp_path, datasets=[], dev=[], holdout=0.3), volumes)
    assert set(split.by_name) == {"train", "test", "heldout"}
    asked = {question.user for question in split.heldout}
    assert not asked & {question.user for question in (*split.train, *split.test)}


def test_two_split_that_ask_the_same_are_refused(volumes: Path, tmp_path: Path) -> None:
    both = config(tmp_path, dev=[{"file": f"file://{tmp_path}/test.jsonl"}])
    with pytest.raises(DatasetError, match=r"evaluate\.datasets and evaluate\.dev both ask 'Which colour is thing40"):
        split_questions(both, volumes)


def test_evaluate_judges_every_split_and_calibrates_on_dev(finished: Trainer, tmp_path: Path) -> None:
    run = config(tmp_path)
    layout = RunLayout.of(tmp_path / "artifacts", run)
    for stage in (Stage.SFT, Stage.RL):
        shutil.copytree(finished.layout.stage(stage), layout.stage(stage))
    (tmp_path / "run.json").write_text(json.dumps(run.dump()))
    places = ["--artifacts", str(tmp_path / "artifacts"), "--pvc-root", str(finished.volumes)]
    for command in ("collect", "evaluate"):
        assert main([command, "--run", str(tmp_path / "run.json"), *places]) == 0
    rows = read_rows(layout.stage(Stage.EVALUATE) / "predictions.jsonl")
    assert {name: len({r["id"] for r in rows if r["split"] == name}) for name in PARTS} == {
        "test": 6,
        "dev": 8,
        "heldout": 6,
    }
    found = read_evaluation(layout)
    assert found.questions == 6
    dev = [row for row in rows if row["split"] == "dev" and row["scenario"] == "balance"]
    assert found.calibration is not None
    log_odds, right = [row["refusal_log_odds"] for row in dev], [row["plain_correct"] for row in dev]
    fitted, expected = found.calibration.platt, platt(log_odds, right)
    assert fitted is not None
    assert (fitted.intercept, fitted.slope) == pytest.approx((expected.intercept, expected.slope), abs=1e-3)
    assert layout.require(Stage.EVALUATE)["metrics"]["refusalTimeShare"] is not None
