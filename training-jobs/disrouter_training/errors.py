"""Exceptions of the trainer. Each message is one line: what is wrong, where, and what to do.

DisrouterError
└── TrainingError
    ├── DatasetError     questions that cannot be read, or too many invalid rows
    ├── ModelError       a model that cannot be loaded or used
    ├── ArtifactDamaged  weights that are not as they were written
    ├── TooLarge         a stage that cannot fit the memory of the GPU
    ├── Collapsed        an agent that came to answer everything, or nothing
    ├── RanksError       processes that cannot do this work together
    ├── RunBusy          another trainer is at work in the run's directory
    └── Interrupted      asked to stop; what was done is kept and a new start goes on from there
"""

from __future__ import annotations

from disrouter.errors import DisrouterError


class TrainingError(DisrouterError):
    """Base of every error that the trainer raises on purpose."""


class DatasetError(TrainingError):
    """The questions cannot be read or too many of them are bad."""


class ModelError(TrainingError):
    """The model cannot be loaded or lacks something that training needs."""


class ArtifactDamaged(TrainingError):
    """Weights that a stage left are not as they were written."""


class TooLarge(TrainingError):
    """The stage needs more memory than a GPU of this machine has."""


class Collapsed(TrainingError):
    """Reinforcement made the agent answer everything or nothing, so that no reply earns more than another."""


class TrackerMissing(TrainingError):
    """An experiment tracker was asked for that is not there."""


class RanksError(TrainingError):
    """The processes that were started together cannot do this work."""


class RunBusy(TrainingError):
    """Another trainer is at work in the run's directory; later it may be free."""


class Interrupted(TrainingError):
    """The process was asked to stop and has kept its work."""
