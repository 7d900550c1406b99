"""Experiment trackers beside the stages' own metrics."""

import pytest

from disrouter.artifacts import Stage
from disrouter_training.errors import TrackerMissing
from disrouter_training.training import trackers
from disrouter_training.training.trackers import check_trackers
from support.trainer import Trainer


def test_one_that_nobody_knows_is_named(trained: Trainer, capsys: pytest.CaptureFixture[str]) -> None:
    assert trained("sft", "--report-to", "tensorbord") == 1
    assert "--report-to tensorbord: not known; use tensorboard, wandb, mlflow" in capsys.readouterr().err


def test_one_that_is_not_installed_is_said_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda _: None)
    with pytest.raises(TrackerMissing, match="--report-to wandb: wandb is not installed; add it to the trainer's"):
        check_trackers(["wandb"])
    check_trackers([])


def test_tensorboards_curves_lie_in_the_stages_folder_and_outlive_its_checkpoints(trained: Trainer) -> None:
    trained.forget("sft")
    assert trained("sft", "--report-to", "tensorboard") == 0
    folder = trained.layout.stage(Stage.SFT)
    assert list((folder / "tensorboard").glob("events.out.tfevents.*"))
    assert not (folder / "checkpoints").exists()
