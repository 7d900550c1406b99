"""An agent that comes to do one thing whatever it is asked ends the stage, and what was good is kept."""

from pathlib import Path

import pytest

from disrouter.artifacts import Stage
from disrouter_training.data.shards import read_rows
from support.trainer import Trainer

WINDOW = 3


@pytest.fixture
def wild(finished: Trainer, tmp_path: Path) -> Trainer:
    """A run that trains far too fast in `rl`."""
    rl = {"learningRate": 5e-2, "kl": 0.0, "steps": 19, "collapseWindow": WINDOW}
    trainer = finished.changed(tmp_path, {"rl": rl})
    trainer.take(finished, Stage.COLLECT, Stage.SFT)
    return trainer


def test_a_collapse_ends_the_stage_with_its_reason_and_keeps_the_last_good_checkpoint(
    wild: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISROUTER_TERMINATION_LOG", str(tmp_path / "log"))
    assert wild("rl") == 1
    folder = wild.layout.stage(Stage.RL)
    rows = read_rows(folder / "metrics.jsonl")
    assert len(rows) < 19
    ends = {row["coverage"] for row in rows[-WINDOW:]}
    assert ends <= {0.0} or ends <= {1.0}
    (good,) = (folder / "good").iterdir()
    assert (good / "model.safetensors").is_file()
    step = int(good.name.rpartition("-")[2])
    assert 0.02 <= rows[step - 1]["coverage"] <= 0.98
    told = (tmp_path / "log").read_text()
    did = "answered" if ends == {1.0} else "refused"
    assert f"rl has collapsed: up to step {len(rows)} the agent {did} everything in {WINDOW} steps" in told
    assert "lower rl.learningRate" in told
    assert str(good) in told
    capsys.readouterr()
    assert wild("rl") == 1, "a retry tells the same at once"
    assert "go on from the last checkpoint all the same" in capsys.readouterr().err
    assert len(read_rows(folder / "metrics.jsonl")) == len(rows)
