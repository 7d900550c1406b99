"""The splits of a run as files, which `collect` writes and every later stage reads instead of the datasets.

A dataset may change while a run is trained. What training saw and what judges it is therefore decided once:

    collect/sources.json                        fingerprints of the datasets, before anything else is done
    collect/splits/{train,test,dev,heldout}.jsonl   the questions
    collect/done.json                           number of questions and SHA-256 of each of these files
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from disrouter.artifacts import RunLayout, Stage, write_atomically
from disrouter_training.data.shards import read_rows, write_rows
from disrouter_training.data.sources import Question, Source
from disrouter_training.data.split import JUDGED, Splits
from disrouter_training.errors import DatasetError

SOURCES_FILE = "sources.json"
SPLITS_FOLDER = "splits"


def write_splits(folder: Path, splits: Splits) -> dict[str, dict[str, Any]]:
    """Write the split files into the folder of `collect`; returns number and SHA-256 of each for `done.json`.

    Raises DatasetError that names a dataset which has changed since an earlier start of the stage.
    """
    _pin_sources(folder, splits.sources)
    record: dict[str, dict[str, Any]] = {}
    for name, questions in splits.by_name.items():
        path = _path(folder, name)
        write_rows(path, (question.model_dump(mode="json", exclude_none=True) for question in questions))
        record[name] = {"questions": len(questions), "sha256": _digest(path)}
    return record


def read_split(layout: RunLayout, name: str) -> tuple[Question, ...]:
    """The questions of one split of a run; none where the run has no such split.

    Raises ArtifactError before `collect` is complete, and DatasetError for a file that is not as it was written.
    """
    folder = layout.stage(Stage.COLLECT)
    record = recorded(layout)
    path = _path(folder, name)
    if name not in record:
        return ()
    if not path.is_file():
        raise DatasetError(f"{path} is missing; {_remedy(folder)}")
    if _digest(path) != record[name]["sha256"]:
        raise DatasetError(f"{path} was changed: its SHA-256 is not that of done.json; {_remedy(folder)}")
    return tuple(Question.model_validate(row) for row in read_rows(path))


def read_judged(layout: RunLayout) -> dict[str, tuple[Question, ...]]:
    """The questions of every split that is judged on, by name. Raises as `read_split` does."""
    found = {name: read_split(layout, name) for name in JUDGED}
    return {name: questions for name, questions in found.items() if questions}


def recorded(layout: RunLayout) -> dict[str, dict[str, Any]]:
    """What `done.json` of `collect` says of each split: equal records are equal questions."""
    record = layout.require(Stage.COLLECT)["metrics"].get("splits")
    if not record:
        folder = layout.stage(Stage.COLLECT)
        raise DatasetError(f"{folder} has no splits: an earlier release collected it; {_remedy(folder)}")
    return dict(record)


def _pin_sources(folder: Path, sources: Sequence[Source]) -> None:
    """Write the datasets' fingerprints at the first start, and compare them at every later one."""
    path = folder / SOURCES_FILE
    now = [{"name": source.name, "fingerprint": source.fingerprint} for source in sources]
    if not path.exists():
        write_atomically(path, json.dumps(now, indent=2) + "\n")
        return
    before = json.loads(path.read_bytes())
    for was, found in zip(before, now, strict=True):
        if was != found:
            raise DatasetError(
                f"dataset {found['name']} has changed since collect of this run began (fingerprint "
                f"{found['fingerprint']}, was {was['fingerprint']}): put back what it was, or delete {folder} to "
                "begin with what it is now"
            )


def _path(folder: Path, name: str) -> Path:
    return folder / SPLITS_FOLDER / f"{name}.jsonl"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remedy(folder: Path) -> str:
    return (
        f"restore it from a copy, or delete {folder.parent} to train the run again: the stages after collect were "
        "made from the former questions"
    )
