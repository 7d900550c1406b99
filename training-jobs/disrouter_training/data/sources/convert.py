"""The registry of converters. One is a function from a dataset's row to a question's fields:

    @converter("org/name", config="main")
    def my_dataset(row: Row) -> Fields:
        return {"question": row["text"], "answer": row["label"], "grader": "choice"}

Another package registers its own as an entry point of `disrouter.datasets` whose name is the Hub id. A converter
raises `Unusable` for a row that is broken, `Filtered` for one that the dataset has on purpose and this use has not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from disrouter_training.errors import DatasetError

GROUP = "disrouter.datasets"
PARQUET_COPY = "refs/convert/parquet"
"""Branch on which the Hub keeps a Parquet copy of a dataset. What `main` holds may be a loading script, which the
datasets library runs no more (since 4.0)."""
Row = Mapping[str, Any]
Fields = dict[str, Any]
Convert = Callable[[Row], Fields]


class Unusable(ValueError):
    """The row cannot become a question; says why."""


class Filtered(ValueError):
    """The row is sound and does not belong to the task; says why. Counted, but no sign of a wrong file."""


@dataclass(frozen=True)
class Converter:
    """How a dataset's rows become questions."""

    dataset: str
    convert: Convert
    config: str | None = None
    """The Hub configuration where the manifest names none."""
    split: str | None = None
    """The split where the manifest names none; `train` where this does not say either."""
    revision: str | None = None
    """The branch, tag or commit where the manifest names none."""


_BUILT_IN: dict[str, Converter] = {}


def converter(
    dataset: str, config: str | None = None, split: str | None = None, revision: str | None = None
) -> Callable[[Convert], Converter]:
    """Register a function for a Hub dataset, with what the manifest need not say."""

    def register(convert: Convert) -> Converter:
        made = Converter(dataset, convert, config, split, revision)
        _BUILT_IN[dataset] = made
        return made

    return register


def known() -> list[str]:
    """Hub ids that have a converter, those of other packages included."""
    return sorted({*_built_in(), *(point.name for point in entry_points(group=GROUP))})


def find(dataset: str) -> Converter | None:
    """The dataset's converter; another package's goes before ours. Raises DatasetError where it cannot be loaded."""
    for point in entry_points(group=GROUP, name=dataset):
        return _load(dataset, point)
    return _built_in().get(dataset)


def _built_in() -> dict[str, Converter]:
    from disrouter_training.data.sources import paper_datasets

    assert paper_datasets.__name__, "importing it registers the paper's datasets"
    return _BUILT_IN


def plain(row: Row) -> Fields:
    """Rows that have the columns already; columns that are null count as absent."""
    return {key: value for key, value in row.items() if value is not None}


def _load(name: str, point: Any) -> Converter:
    try:
        loaded = point.load()
    except Exception as error:  # the package is not ours and may raise what it likes
        raise DatasetError(f"the converter of {name} in {point.value} cannot be loaded: {error}") from error
    return loaded if isinstance(loaded, Converter) else Converter(name, loaded)
