"""The questions of a pool, each in one sheet, with ids that are unique over all."""

from __future__ import annotations

from pathlib import Path

from disrouter.artifacts import DatasetSource
from disrouter_training.errors import DatasetError
from disrouter_training.evidence import DEV, HELDOUT, TEST
from disrouter_training.pool.base import TRAIN, Questions
from disrouter_training.pool.file import Pool
from disrouter_training.sources import Question, read_source


def pool_questions(pool: Pool, pvc_root: Path) -> Questions:
    """Read all datasets. Questions that are judged are dropped from training, as the stages do.

    Raises DatasetError where a sheet is empty or two sheets that judge ask the same.
    """
    datasets = pool.datasets
    named = {DEV: datasets.dev, TEST: datasets.test, HELDOUT: datasets.heldout, TRAIN: datasets.train}
    sheets: dict[str, list[Question]] = {}
    seen: dict[str, str] = {}
    ids: set[str] = set()
    for name, sources in named.items():
        if not sources:
            continue
        sheets[name] = []
        for question in _read(sources, pvc_root):
            before = seen.get(question.user)
            if before is not None:
                if name not in (TRAIN, before):
                    raise DatasetError(f"{before} and {name} both ask {question.user[:80]!r}; part them")
                continue
            seen[question.user] = name
            unique = question.id if question.id not in ids else f"{name}#{question.id}"
            ids.add(unique)
            sheets[name].append(question.model_copy(update={"id": unique}))
        if not sheets[name]:
            raise DatasetError(f"no question is left for {name}; the other sheets ask the same")
    return Questions({name: sheets[name] for name in (TRAIN, DEV, TEST, HELDOUT) if name in sheets})


def _read(sources: tuple[DatasetSource, ...], pvc_root: Path) -> list[Question]:
    return [question for source in sources for question in read_source(source, pvc_root).questions]
