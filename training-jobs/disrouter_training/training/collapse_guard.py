"""The last good checkpoint of `rl`, and the end of the stage when the agent has collapsed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from disrouter.artifacts import write_atomically
from disrouter_training.errors import Collapsed
from disrouter_training.job import Job
from disrouter_training.training.rl_metrics import Guard

GOOD = "good"
"""Folder of the last checkpoint that was made while the agent both answered and refused."""
COLLAPSE_FILE = "collapse.txt"
"""Why the stage ended: it would end the same way again."""


class CheckpointKeeper:
    """Keeps the last good checkpoint from the trainer's own tidying, at no cost where files can have two names."""

    def __init__(self, folder: Path, guard: Guard, job: Job) -> None:
        self._folder, self._guard, self._job = folder, guard, job

    def keep(self, checkpoint: Path) -> None:
        """A checkpoint was made."""
        if not self._guard.healthy:
            return
        scratch = self._folder / f".{GOOD}.new"
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(checkpoint, scratch / checkpoint.name, copy_function=_link)
        self.drop()
        scratch.rename(self._folder / GOOD)

    def check(self, step: int) -> None:
        """End the stage if the agent has collapsed. Raises Collapsed, in every process."""
        what = self._guard.collapse
        if what is None:
            return
        kept = next(iter((self._folder / GOOD).glob("checkpoint-*")), None)
        good = f"the last good checkpoint is {kept}" if kept else "no checkpoint was good: look at the sft stage first"
        message = (
            f"rl has collapsed: up to step {step} the agent {what}, whatever the scenario; lower rl.learningRate, "
            f"raise rl.kl, or set rl.collapseWindow to 0 if that is what it should do; {good}"
        )
        if self._job.ranks.leads:
            write_atomically(self._folder / COLLAPSE_FILE, message + "\n")
        raise Collapsed(message)

    def drop(self) -> None:
        """It is not needed any more."""
        if self._job.ranks.leads:
            shutil.rmtree(self._folder / GOOD, ignore_errors=True)


def refuse_collapsed(folder: Path) -> None:
    """Raise Collapsed if the stage ended so before: a retry has the same inputs, and would only take longer to tell."""
    path = folder / COLLAPSE_FILE
    if path.exists():
        raise Collapsed(f"{path.read_text().strip()}; delete {path} to go on from the last checkpoint all the same")


def _link(source: str, target: str) -> None:
    """A second name for a file; a copy where the file system has no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
