"""Weights that a stage leaves: all of them or none, with a checksum of every file.

A folder is written beside its place, made durable, and renamed. Its `SHA256SUMS` is the format of coreutils, so a
person can check it with `sha256sum --check` where the weights were copied to.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from transformers import GenerationConfig

from disrouter_training.errors import ArtifactDamaged

SUMS_FILE = "SHA256SUMS"
WEIGHTS, ADAPTER = "weights", "adapter"


def publish(model: Any, tokenizer: Any, folder: Path) -> None:
    """Leave `weights/` in a stage's folder; of an adapted model the merged ones, and the adapter in `adapter/`."""
    if hasattr(model, "merge_and_unload"):
        write_folder(folder / ADAPTER, lambda place: model.save_pretrained(str(place)))
        model = model.merge_and_unload(safe_merge=True)

    model.generation_config = neutral(model.generation_config)

    def save(place: Path) -> None:
        model.save_pretrained(str(place))
        tokenizer.save_pretrained(str(place))

    write_folder(folder / WEIGHTS, save)


def neutral(habits: Any) -> Any:
    """A generation configuration that stops where `habits` does and changes no probability.

    Engines sample by the one beside the weights where a request says nothing (Qwen's: top_p 0.8 and a penalty on
    repetition). Training and evaluation do not, so such a reply would be one that nobody judged.
    """
    return GenerationConfig(
        bos_token_id=habits.bos_token_id, eos_token_id=habits.eos_token_id, pad_token_id=habits.pad_token_id
    )


def write_folder(target: Path, write: Callable[[Path], object]) -> None:
    """Make a folder appear whole at `target`, in place of what was there."""
    scratch, old = (target.with_name(f".{target.name}.{what}") for what in ("new", "old"))
    for left in (scratch, old):
        shutil.rmtree(left, ignore_errors=True)
    scratch.mkdir(parents=True)
    write(scratch)
    files = sorted(path for path in scratch.rglob("*") if path.is_file())
    sums = [f"{_digest(path)}  {path.relative_to(scratch).as_posix()}\n" for path in files]
    (scratch / SUMS_FILE).write_text("".join(sums))
    for path in (*files, scratch / SUMS_FILE, scratch):
        _make_durable(path)
    if target.exists():
        target.rename(old)
    scratch.rename(target)
    _make_durable(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def verify(folder: Path) -> None:
    """Raise ArtifactDamaged if a published folder is not as it was written. A folder without checksums is not ours.

    A folder is read once in a process, unless its checksums are written anew.
    """
    sums = folder / SUMS_FILE
    if sums.is_file():
        _verify(folder, sums.stat().st_mtime_ns)


@cache
def _verify(folder: Path, _written: int) -> None:
    for line in (folder / SUMS_FILE).read_text().splitlines():
        digest, _, name = line.partition("  ")
        path = folder / name
        if not path.is_file():
            raise ArtifactDamaged(f"{path} is missing; {_remedy(folder)}")
        if _digest(path) != digest:
            raise ArtifactDamaged(f"{path} is damaged: its SHA-256 is not that of {SUMS_FILE}; {_remedy(folder)}")


def _remedy(folder: Path) -> str:
    return f"delete {folder.parent} to run stage {folder.parent.name} again, or restore it from a copy"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _make_durable(path: Path) -> None:
    """Its content, or of a folder its names, survive a crash of the machine."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
