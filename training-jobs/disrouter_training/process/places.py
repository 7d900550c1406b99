"""Where models and datasets lie on this machine."""

from __future__ import annotations

from pathlib import Path

from disrouter.uris import local_path
from disrouter_training.errors import TrainingError


def resolve(uri: str, pvc_root: Path) -> str:
    """A path for `pvc://` and `file://`, the Hub id for `hf://`. Raises TrainingError on what is no address."""
    try:
        return local_path(uri, pvc_root)
    except ValueError as error:
        raise TrainingError(str(error)) from error
