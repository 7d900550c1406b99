"""Datasets of the Hub, by the datasets library."""

from __future__ import annotations

from collections.abc import Iterator

from disrouter.artifacts import DatasetSource
from disrouter_training.data.sources.convert import PARQUET_COPY, Converter
from disrouter_training.data.sources.files import Located
from disrouter_training.errors import DatasetError

Address = dict[str, str | None]
"""Arguments of the datasets library that say which part of a dataset is meant."""


def hub_rows(source: DatasetSource, converter: Converter) -> Iterator[Located]:
    """Every row of one split. Raises DatasetError that names dataset, configuration, split and revision."""
    import datasets

    split, where = source.split or converter.split or "train", address(source, converter)
    try:
        table = datasets.load_dataset(source.id, split=split, **where)
    except Exception as error:  # the library raises many kinds, all about this one address
        raise DatasetError(_explained(str(source.id), split, where, error)) from error
    for number, row in enumerate(table):
        yield f"{split} row {number}", row


def address(source: DatasetSource, converter: Converter) -> Address:
    """What the manifest says, else the converter. In the Hub's Parquet copy a configuration is a folder."""
    config, revision = source.config or converter.config, source.revision or converter.revision
    return {"data_dir" if revision == PARQUET_COPY else "name": config, "revision": revision}


def _explained(dataset: str, split: str, where: Address, error: Exception) -> str:
    config = where.get("name") or where.get("data_dir")
    named = f"{dataset} (config {config}, split {split}, revision {where['revision'] or 'main'})"
    known = _splits(dataset, where) if isinstance(error, ValueError) else []
    asked = [part.partition("[")[0].strip() for part in split.split("+")]
    missing = [name for name in asked if name not in known]
    if known and missing:
        splits = ", ".join(known)
        return f"the Hub dataset {named} has no split {missing[0]}; set datasets[].split to one of {splits}"
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return (
        f"cannot load the Hub dataset {named}: {reason}; check datasets[].id/config/split/revision, or give a file "
        "with the dataset's id as its format"
    )


def _splits(dataset: str, where: Address) -> list[str]:
    """Names of the splits that there are; empty where they cannot be had, which is no reason to fail differently."""
    import datasets

    rest = {key: value for key, value in where.items() if key != "name"}
    try:
        return list(datasets.get_dataset_split_names(dataset, where.get("name"), **rest))
    except Exception:  # the first error is the one to report
        return []
