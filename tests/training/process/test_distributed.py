"""Training by several processes: real torchrun, on this machine's CPU."""

import json
import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch

from disrouter.artifacts import Evaluation, Stage
from disrouter.scenario import Scenario
from disrouter_training.data.shards import read_rows
from disrouter_training.errors import RanksError
from disrouter_training.process.lock import only_trainer
from disrouter_training.process.ranks import LONGEST_WAIT, Ranks
from support.trainer import RUN, Trainer

DEADLINE_SECONDS = 300
STEPS = 5


def torchrun(trainer: Trainer, stage: str, log: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "DISROUTER_TERMINATION_LOG": str(log)}
    return subprocess.run(
        [*command, "-m", "--", "disrouter_training", *trainer.arguments(stage)],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        timeout=DEADLINE_SECONDS,
    )


@pytest.fixture
def collected(finished: Trainer, tmp_path: Path) -> Trainer:
    """A run whose last three stages are to be done, with few steps of `rl`."""
    for place in ("data", "models"):
        (tmp_path / place).symlink_to(finished.volumes / place)
    run = {**RUN, "rl": {**RUN["rl"], "steps": STEPS}}
    (tmp_path / "run.json").write_text(json.dumps(run))
    trainer = Trainer(tmp_path, tmp_path / "artifacts")
    shutil.copytree(finished.layout.stage(Stage.COLLECT), trainer.layout.stage(Stage.COLLECT))
    return trainer


@pytest.mark.timeout(3 * DEADLINE_SECONDS)
def test_two_processes_train_one_agent_and_one_of_them_writes(collected: Trainer, tmp_path: Path) -> None:
    for stage in (Stage.SFT, Stage.RL):
        ended = torchrun(collected, stage, tmp_path / "log")
        assert ended.returncode == 0, ended.stderr
        assert ended.stderr.count(f"{stage} is complete after") == 1
        assert not (collected.layout.stage(stage) / "checkpoints").exists()
    assert not (tmp_path / "log").exists()
    steps = read_rows(collected.layout.stage(Stage.RL) / "metrics.jsonl")
    assert [row["step"] for row in steps] == list(range(1, STEPS + 1))
    assert all(row["scenarios"].keys() == set(Scenario) for row in steps)
    assert collected("evaluate") == 0
    path = collected.layout.stage(Stage.EVALUATE) / "evaluation.json"
    assert Evaluation.model_validate_json(path.read_bytes()).utility_gain > 0.2


def test_a_batch_is_of_all_processes_and_one_that_they_cannot_share_equally_is_named() -> None:
    assert Ranks(size=4).share(16, "sft.batchSize") == 4
    with pytest.raises(RanksError, match=r"sft\.batchSize is 16, which 3 processes cannot share equally"):
        Ranks(size=3).share(16, "sft.batchSize")


def test_several_processes_end_where_another_trainer_is_at_work(trained: Trainer, tmp_path: Path) -> None:
    trained.forget("sft")
    with only_trainer(trained.layout.directory, print):
        ended = torchrun(trained, "sft", tmp_path / "log")
    assert ended.returncode == 1  # torchrun's own, whatever its processes end with
    assert "is being trained by pid" in (tmp_path / "log").read_text()
    assert not trained.layout.stage(Stage.SFT).exists()


@pytest.mark.parametrize("stage", ["collect", "evaluate", "run"])
def test_stages_of_one_process_are_refused_under_torchrun(
    stage: str, finished: Trainer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert finished(stage) == 1
    assert "is the work of one process, and torchrun started 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"LOCAL_RANK": "0", "RANK": "0"}, "WORLD_SIZE is '', not a number"),
        ({"LOCAL_RANK": "0", "RANK": "-1", "WORLD_SIZE": "2"}, "RANK is '-1'"),
        ({"LOCAL_RANK": "0", "RANK": "2", "WORLD_SIZE": "2"}, "must be below WORLD_SIZE 2"),
    ],
)
def test_a_broken_environment_is_an_error(environment: dict[str, str], expected: str) -> None:
    with pytest.raises(RanksError, match=expected):
        Ranks.of(environment)


def test_processes_wait_for_a_leader_that_extracts_for_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda backend, **more: given.update(more))
    for name in ("barrier", "destroy_process_group"):
        monkeypatch.setattr(torch.distributed, name, lambda: None)
    with Ranks(size=2).together():
        pass
    assert given == {"timeout": LONGEST_WAIT}
    assert timedelta(hours=12) <= LONGEST_WAIT


def test_a_process_without_torchrun_is_alone() -> None:
    assert Ranks.of({"WORLD_SIZE": "8"}) == Ranks(rank=0, local=0, size=1)
