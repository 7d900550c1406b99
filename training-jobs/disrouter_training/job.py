"""What every stage is given: the run, its directory, and the world around it."""

from __future__ import annotations

import hashlib
import json
import platform
import resource
import time
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from disrouter import __version__
from disrouter.artifacts import RUN_FILE, RunConfig, RunLayout, Stage, write_atomically
from disrouter.uris import PVC_ROOT
from disrouter_training.process.places import resolve
from disrouter_training.process.progress import Clock, Progress, Say, say_on_stderr
from disrouter_training.process.ranks import Ranks
from disrouter_training.process.stop import StopSignal

RECORDED_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "vllm")
"""Whose versions a finished stage writes down, where they are installed."""


@dataclass(frozen=True)
class Job:
    """One run on this machine, or this process's part in it: only the leader of several writes."""

    config: RunConfig
    layout: RunLayout
    pvc_root: Path = Path(PVC_ROOT)
    stop: StopSignal = field(default_factory=StopSignal)
    say: Say = say_on_stderr
    clock: Clock = time.monotonic
    ranks: Ranks = field(default_factory=Ranks)
    report_to: tuple[str, ...] = ()
    """Experiment trackers that the training stages write to beside their own metrics."""

    def folder(self, stage: Stage) -> Path:
        """The stage's directory, which exists from now on; the run's inputs are beside it."""
        folder = self.layout.stage(stage)
        if not self.ranks.leads:
            return folder
        folder.mkdir(parents=True, exist_ok=True)
        inputs = self.layout.directory / RUN_FILE
        if not inputs.exists():
            write_atomically(inputs, json.dumps(self.config.dump(), indent=2) + "\n")
        return folder

    def progress(self, stage: Stage, unit: str, total: int) -> Progress:
        """The stage's progress report."""
        folder = self.folder(stage) if self.ranks.leads else None
        return Progress(stage, unit, total, folder, say=self.say, clock=self.clock)

    def finish(self, stage: Stage, metrics: dict[str, Any], started: float) -> None:
        """Mark the stage complete with what it measured and ran on. `seconds` is this process's share of the time."""
        if not self.ranks.leads:
            return
        versions = {"disrouter": __version__, "python": platform.python_version(), **_installed()}
        seconds = round(self.clock() - started, 1)
        content = {"metrics": metrics, "seconds": seconds, "peakBytes": peak_bytes(), "versions": versions}
        self.layout.finish(stage, content)
        self.say(f"{stage} is complete after {seconds:.0f} s")

    def base_model(self) -> str:
        """What transformers and vLLM load as the agent's base model, its tokenizer included."""
        return resolve(self.config.model, self.pvc_root, self.config.revision)

    def seed(self, *parts: object) -> int:
        """A seed of its own for each part of the work, so that resuming in the middle changes nothing."""
        text = "/".join(map(str, (self.config.seed, *parts)))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def peak_bytes() -> int:
    """The most memory that this process has held: of its GPU, or of the machine where it has none."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _installed() -> dict[str, str]:
    found = {}
    for name in RECORDED_PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
