"""The trainer's command line on one run, for tests."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

from disrouter.artifacts import RunConfig, RunLayout
from disrouter_training.cli import main

RUN: dict[str, Any] = {
    "cascade": "test",
    "agent": "tiny",
    "model": "pvc://models/tiny",
    "image": "test",
    "datasets": [{"file": "pvc://data/questions.jsonl"}],
    "collect": {"samples": 64, "maxNewTokens": 16, "batchSize": 64},
    "sft": {"samples": 480, "epochs": 2, "learningRate": 2e-3, "batchSize": 16},
    "rl": {"steps": 30, "learningRate": 2e-4, "promptsPerStep": 12, "generations": 4, "kl": 0.05},
    "evaluate": {"holdout": 0.3},
}


class Trainer:
    """The command line on one run: in this process for speed, or its arguments for a process of its own."""

    def __init__(self, volumes: Path, artifacts: Path) -> None:
        self.volumes, self.artifacts = volumes, artifacts
        self.run_file = volumes / "run.json"
        self.layout = RunLayout.of(artifacts, RunConfig.read(self.run_file))

    def arguments(self, stage: str, *more: str) -> list[str]:
        places = ["--artifacts", str(self.artifacts), "--pvc-root", str(self.volumes)]
        return [stage, "--run", str(self.run_file), *places, *more]

    def __call__(self, stage: str, *more: str) -> int:
        """Run a stage in this process and leave the signals as they were."""
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            return main(self.arguments(stage, *more))
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def changed(self, root: Path, changes: dict[str, dict[str, Any]]) -> Trainer:
        """Another run at `root`, of the same volumes, with some fields of some stages changed."""
        root.mkdir(exist_ok=True)
        for place in ("data", "models"):
            (root / place).symlink_to(self.volumes / place)
        run = json.loads(self.run_file.read_text())
        run |= {stage: {**run.get(stage, {}), **fields} for stage, fields in changes.items()}
        (root / "run.json").write_text(json.dumps(run))
        return Trainer(root, root / "artifacts")

    def take(self, other: Trainer, *stages: str) -> None:
        """As if these stages had run here as they did there."""
        for stage in stages:
            shutil.copytree(other.layout.directory / stage, self.layout.directory / stage)

    def forget(self, *stages: str) -> None:
        """As if these stages had never run."""
        for stage in stages:
            shutil.rmtree(self.layout.directory / stage)
