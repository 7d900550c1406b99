"""Killed twenty times at random moments, in every stage, a run ends as one that nobody disturbed (claim C2).

A process that dies by SIGKILL can be anywhere: in the middle of a checkpoint, of a rename, of a line. What must come
out the same: the order of the data (a fingerprint of each step), the weights, and every number of the evaluation.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from disrouter.artifacts import Evaluation, Stage
from disrouter_training.data.shards import read_rows
from disrouter_training.models.publishing import verify
from support.local import alive
from support.trainer import Trainer

KILLS = {Stage.COLLECT: 4, Stage.SFT: 6, Stage.RL: 6, Stage.EVALUATE: 4}
LONGEST_SECONDS = 0.25
"""That an attempt lives after its first step."""
DEADLINE_SECONDS = 600
"""Of all of it, on a busy machine; two minutes on an idle one."""
TOLERANCE = 1e-4
"""Relative, of losses and weights: a sum in another order."""

# One process imports the libraries, and forks for each attempt: so that twenty deaths take twenty short attempts.
_NURSERY = """
import os, sys
import torch, transformers, datasets, trl, peft
from disrouter_training import cli
from disrouter_training.stages import collect, evaluate, rl, sft
torch.set_num_threads(1)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os._exit(cli.main(line.split()))
    print(child, flush=True)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


class Nursery:
    """Starts attempts by forking a process that has everything imported."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, arguments: list[str]) -> int:
        """Begin an attempt; its pid."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(arguments) + "\n")
        self._process.stdin.flush()
        return int(self._line())

    def end(self) -> int:
        """Wait for it; its exit code, negative for a signal."""
        return int(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@contextmanager
def nursery() -> Iterator[Nursery]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    process = subprocess.Popen(
        [sys.executable, "-c", _NURSERY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    try:
        yield Nursery(process)
    finally:
        process.kill()
        process.communicate()


def run_with_kills(trainer: Trainer, stage: Stage, kills: int, rng: random.Random, attempts: Nursery) -> list[int]:
    """Start a stage until it is done, and kill it the first `kills` times; at which step of its progress each was."""
    places: list[int] = []
    folder = trainer.layout.stage(stage)
    while len(places) < kills:
        before = progress(folder)
        pid = attempts.start(trainer.arguments(stage))
        wait_for_work(folder, before, pid)
        time.sleep(rng.uniform(0.0, LONGEST_SECONDS))
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        if attempts.end() != -signal.SIGKILL or trainer.layout.done(stage) is not None:
            break  # it was faster
        places.append(progress(folder))
    attempts.start(trainer.arguments(stage))
    assert attempts.end() == 0
    return places


def wait_for_work(folder: Path, before: int, pid: int) -> None:
    """Until the attempt has begun to work, so that kills do not all fall into loading."""
    deadline = time.monotonic() + 60
    path = folder / "progress.json"
    stamp = path.stat().st_mtime_ns if path.exists() else 0
    while time.monotonic() < deadline and alive(pid):
        if path.exists() and path.stat().st_mtime_ns != stamp:
            return
        time.sleep(0.005)


def progress(folder: Path) -> int:
    path = folder / "progress.json"
    return int(json.loads(path.read_text())["step"]) if path.exists() else 0


@pytest.mark.timeout(DEADLINE_SECONDS)
def test_a_run_that_is_killed_twenty_times_ends_as_one_that_was_not(
    finished: Trainer, tmp_path: Path, record_property: Any
) -> None:
    rng = random.Random(1)
    trainer = Trainer(finished.volumes, tmp_path / "artifacts")
    kills: dict[Stage, list[int]] = {}
    owed = 0
    with nursery() as attempts:
        for stage, count in KILLS.items():
            kills[stage] = run_with_kills(trainer, stage, count + owed, rng, attempts)
            owed += count - len(kills[stage])
    record_property("kills", {str(stage): places for stage, places in kills.items()})
    assert sum(map(len, kills.values())) == sum(KILLS.values()) == 20, kills
    assert all(kills.values()), "every stage was killed"
    same_samples(trainer, finished)
    for stage in (Stage.SFT, Stage.RL):
        same_steps(trainer, finished, stage)
        same_weights(trainer, finished, stage)
    ours, theirs = (evaluation(each) for each in (trainer, finished))
    assert ours == theirs


def same_samples(trainer: Trainer, other: Trainer) -> None:
    ours, theirs = (
        {path.name: path.read_bytes() for path in (each.layout.stage(Stage.COLLECT) / "shards").glob("*.jsonl")}
        for each in (trainer, other)
    )
    assert ours == theirs


def same_steps(trainer: Trainer, other: Trainer, stage: Stage) -> None:
    """Each step saw the same data, and got the same out of it."""
    ours, theirs = (read_rows(each.layout.stage(stage) / "metrics.jsonl") for each in (trainer, other))
    assert [row["data"] for row in ours] == [row["data"] for row in theirs]
    assert [row["loss"] for row in ours] == pytest.approx([row["loss"] for row in theirs], rel=TOLERANCE, abs=1e-5)


def same_weights(trainer: Trainer, other: Trainer, stage: Stage) -> None:
    folders = [each.layout.weights(stage) for each in (trainer, other)]
    verify(folders[0])
    assert {path.name for path in folders[0].iterdir()} == {path.name for path in folders[1].iterdir()}
    left = [path.name for path in folders[0].parent.iterdir() if path.name.startswith(".")]
    assert not left, "nothing half written stays"
    ours, theirs = (load_file(folder / "model.safetensors") for folder in folders)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert tensor.numpy() == pytest.approx(theirs[name].numpy(), rel=TOLERANCE, abs=1e-6), name


def evaluation(trainer: Trainer) -> dict[str, Any]:
    path = trainer.layout.stage(Stage.EVALUATE) / "evaluation.json"
    result: dict[str, Any] = Evaluation.model_validate_json(path.read_bytes()).dump()
    return result
