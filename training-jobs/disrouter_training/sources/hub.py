"""Datasets of the Hub, by the datasets library."""

from __future__ import annotations

from collections.abc import Iterator

from disrouter.artifacts import DatasetSource
from disrouter_training.errors import DatasetError
from disrouter_training.sources.convert import Converter
from disrouter_training.sources.files import Located


def hub_rows(source: DatasetSource, converter: Converter) -> Iterator[Located]:
    """Every row of one split. Raises DatasetError that names dataset, configuration and split."""
    import datasets

    split, config = source.split or "train", source.config or converter.config
    try:
        table = datasets.load_dataset(source.id, config, split=split)
    except Exception as error:  # the library raises many kinds, all about this one address
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DatasetError(
            f"cannot load the Hub dataset {source.id} (config {config}, split {split}): {reason}; "
            "check datasets[].id/config/split, or give a file"
        ) from error
    for number, row in enumerate(table):
        yield f"{split} row {number}", row
