"""Where else a training stage shows its curves: the experiment trackers that people have, by TRL's `report_to`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from disrouter_training.errors import TrackerMissing

TRACKERS = {"tensorboard": ("tensorboard", "tensorboardX"), "wandb": ("wandb",), "mlflow": ("mlflow",)}
"""By name, the packages of which one must be installed."""
_TENSORBOARD = "TENSORBOARD_LOGGING_DIR"
_PROJECTS = ("WANDB_PROJECT", "MLFLOW_EXPERIMENT_NAME")


def check_trackers(asked: Sequence[str]) -> None:
    """Raise TrackerMissing for one that is not known or not installed: at the start of a run, not hours later."""
    for name in asked:
        packages = TRACKERS.get(name)
        if packages is None:
            raise TrackerMissing(f"--report-to {name}: not known; use {', '.join(TRACKERS)}")
        if not any(find_spec(package) for package in packages):
            raise TrackerMissing(
                f"--report-to {name}: {packages[0]} is not installed; add it to the trainer's image or leave it out"
            )


def prepare_trackers(folder: Path, cascade: str) -> None:
    """Tensorboard's files lie in a stage's folder and outlive its checkpoints; runs of a cascade are one project."""
    os.environ[_TENSORBOARD] = str(folder / "tensorboard")
    for variable in _PROJECTS:
        os.environ.setdefault(variable, cascade)
