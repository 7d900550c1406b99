"""Stages that are killed or stopped go on from where they were."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from disrouter.artifacts import Stage
from disrouter_training.data.shards import read_rows
from disrouter_training.process.lock import LOCK_FILE
from support.trainer import Trainer

START_SECONDS = 240
"""Until a process must have imported its libraries and begun, on a busy machine."""


def start(trainer: Trainer, stage: Stage, log: Path, largest: int | None = None) -> subprocess.Popen[bytes]:
    """The stage in a process of its own; `largest` is the most bytes that the file system lets it write to a file."""
    environment = {**os.environ, "DISROUTER_TERMINATION_LOG": str(log)}
    command = [sys.executable, "-m", "disrouter_training", *trainer.arguments(stage)]
    limits = f"ulimit -f {largest // 1024}; " if largest is not None else ""
    return subprocess.Popen(
        ["bash", "-c", f'{limits}exec "$@"', "-", *command], stderr=subprocess.PIPE, env=environment
    )


def signal_when(
    process: subprocess.Popen[bytes], number: signal.Signals, ready: Callable[[], bool], *, wait: bool = True
) -> int | None:
    """Send a signal once something is there; the exit code."""
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        assert process.poll() is None, process.communicate()[1].decode()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    if wait:
        process.communicate()
    return process.returncode


def test_collect_keeps_its_shards_when_killed(trained: Trainer, finished: Trainer, tmp_path: Path) -> None:
    trained.forget("collect")
    shards = trained.layout.stage(Stage.COLLECT) / "shards"
    process = start(trained, Stage.COLLECT, tmp_path / "log")
    assert signal_when(process, signal.SIGKILL, lambda: len(list(shards.glob("0*"))) >= 2) == -signal.SIGKILL
    before = {path: path.stat().st_mtime_ns for path in shards.glob("0*.jsonl")}
    assert trained.layout.done(Stage.COLLECT) is None
    assert trained("collect") == 0
    whole = sorted((finished.layout.stage(Stage.COLLECT) / "shards").iterdir())
    assert 2 <= len(before) < len(whole)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert [(shards / path.name).read_bytes() for path in whole] == [path.read_bytes() for path in whole]


def test_collect_goes_on_with_another_batch_on_another_machine(trained: Trainer, finished: Trainer) -> None:
    stage = trained.layout.stage(Stage.COLLECT)
    (stage / "done.json").unlink()
    whole = sorted((finished.layout.stage(Stage.COLLECT) / "shards").iterdir())
    (stage / "shards" / whole[-1].name).unlink()
    assert trained("collect", "--resources", '{"collect": {"batchSize": 256}}') == 0
    shards = sorted((stage / "shards").iterdir())
    assert [path.name for path in shards] == [path.name for path in whole]
    assert [path.read_bytes() for path in shards[:-1]] == [path.read_bytes() for path in whole[:-1]]
    assert [row["id"] for row in read_rows(shards[-1])] == [row["id"] for row in read_rows(whole[-1])]


def test_sft_makes_a_checkpoint_when_terminated(
    trained: Trainer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained.forget("sft")
    folder = trained.layout.stage(Stage.SFT)
    process = start(trained, Stage.SFT, tmp_path / "log")
    assert signal_when(process, signal.SIGTERM, (folder / "progress.json").exists) == 75
    assert "sft was interrupted after step" in (tmp_path / "log").read_text()
    checkpoint = max(int(path.name.rpartition("-")[2]) for path in (folder / "checkpoints").glob("checkpoint-*"))
    assert trained("sft") == 0
    assert f"sft resumes at {checkpoint}/60" in capsys.readouterr().err


def test_a_full_disk_is_named_and_the_checkpoint_before_it_is_gone_on_from(
    trained: Trainer, finished: Trainer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained.forget("sft")
    folder = trained.layout.stage(Stage.SFT)
    process = start(trained, Stage.SFT, tmp_path / "log")
    assert signal_when(process, signal.SIGTERM, (folder / "progress.json").exists) == 75
    (kept,) = (folder / "checkpoints").glob("checkpoint-*")
    size = (kept / "optimizer.pt").stat().st_size
    process = start(trained, Stage.SFT, tmp_path / "log", largest=size // 2)
    told = process.communicate()[1].decode()
    assert process.returncode == 1, told
    message = (tmp_path / "log").read_text()
    assert message.startswith("no space left to write what the stage leaves")
    assert "free space or enlarge the claim of training.artifacts, and run it again" in message
    assert kept.is_dir()
    assert trained("sft") == 0
    assert f"sft resumes at {kept.name.rpartition('-')[2]}/60" in capsys.readouterr().err
    rows, whole = (read_rows(t.layout.stage(Stage.SFT) / "metrics.jsonl") for t in (trained, finished))
    assert [row["data"] for row in rows] == [row["data"] for row in whole]


def test_rl_goes_on_from_its_checkpoint_when_killed_and_ends_as_if_it_had_not_been(
    trained: Trainer, finished: Trainer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained.forget("rl")
    folder = trained.layout.stage(Stage.RL)
    process = start(trained, Stage.RL, tmp_path / "log")
    later = folder / "checkpoints" / "checkpoint-6"
    assert signal_when(process, signal.SIGKILL, later.exists) == -signal.SIGKILL
    assert trained("rl") == 0
    assert "rl resumes at" in capsys.readouterr().err
    rows, whole = (read_rows(t.layout.stage(Stage.RL) / "metrics.jsonl") for t in (trained, finished))
    assert [row["step"] for row in rows] == list(range(1, 31))
    assert [row["scenarios"] for row in rows] == [row["scenarios"] for row in whole]


def test_a_second_trainer_of_a_run_is_told_who_is_at_work_and_to_come_back(volumes: Path, tmp_path: Path) -> None:
    trainer = Trainer(volumes, tmp_path / "artifacts")
    lock = trainer.layout.directory / LOCK_FILE
    first = start(trainer, Stage.COLLECT, tmp_path / "first")
    signal_when(first, signal.SIGSTOP, lambda: lock.exists() and str(first.pid) in lock.read_text(), wait=False)
    try:
        second = start(trainer, Stage.COLLECT, tmp_path / "second")
        told = second.communicate(timeout=START_SECONDS)[1].decode()
    finally:
        first.kill()
        first.communicate()
    assert second.returncode == 75
    assert told.count("\n") == 1
    message = (tmp_path / "second").read_text()
    assert message.startswith(f"{trainer.layout.directory} is being trained by pid {first.pid} on ")
    third = start(trainer, Stage.SFT, tmp_path / "third")
    assert "stage collect of run" in third.communicate(timeout=START_SECONDS)[1].decode(), (
        "the lock ends with its holder"
    )


def test_evaluate_asks_only_what_is_missing(trained: Trainer, finished: Trainer) -> None:
    folder = trained.layout.stage(Stage.EVALUATE)
    (folder / "done.json").unlink()
    kept, dropped = folder / "replies" / "base" / "0000.jsonl", folder / "replies" / "must-answer" / "0000.jsonl"
    before = kept.stat().st_mtime_ns
    dropped.unlink()
    assert trained("evaluate") == 0
    assert kept.stat().st_mtime_ns == before
    whole = finished.layout.stage(Stage.EVALUATE) / "evaluation.json"
    assert (folder / "evaluation.json").read_bytes() == whole.read_bytes()
