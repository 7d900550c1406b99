"""Files of questions: JSONL or Parquet, opened by fsspec wherever they lie."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import fsspec

from disrouter_training.errors import DatasetError
from disrouter_training.process.places import resolve


@dataclass(frozen=True)
class Unreadable:
    """Stands for a row whose content cannot be had at all; says why."""

    reason: str


Located = tuple[str, Any]
"""Where a row stands and its content: a dict, Unreadable, or anything else that JSON can hold and a row cannot be."""
BATCH_ROWS = 1024
_REMOTE = ("s3://", "hf://")
"""Schemes that fsspec opens itself; for `s3://` the image needs s3fs, and credentials come from the environment."""


def file_rows(uri: str, pvc_root: Path) -> Iterator[Located]:
    """Every row of a file. Raises DatasetError that names the address and the cause."""
    address = uri if uri.startswith(_REMOTE) else resolve(uri, pvc_root)
    try:
        with fsspec.open(address, "rb").open() as file:
            yield from _parquet(file, uri) if uri.endswith(".parquet") else _jsonl(file)
    except ImportError as error:
        raise DatasetError(f"cannot read the questions {uri}: {error}; add the package to the trainer image") from error
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        where = uri if address == uri else f"{address} ({uri})"
        raise DatasetError(f"cannot read the questions {where}: {reason}; check datasets[].file") from error


def _jsonl(file: IO[bytes]) -> Iterator[Located]:
    """Never guesses at a character: with another one it would be another question."""
    for number, line in enumerate(file, 1):
        where = f"line {number}"
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            yield where, Unreadable(f"not UTF-8: byte {error.start + 1} of the line is 0x{line[error.start]:02x}")
            continue
        if text.strip():
            yield where, _json(text)


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _parquet(file: IO[bytes], uri: str) -> Iterator[Located]:
    import pyarrow as arrow
    from pyarrow import parquet

    try:
        number = 0
        for batch in parquet.ParquetFile(file).iter_batches(BATCH_ROWS):
            for row in batch.to_pylist():
                number += 1
                yield f"row {number}", row
    except arrow.ArrowInvalid as error:
        raise DatasetError(f"{uri} is not Parquet: {error}; check datasets[].file") from error
