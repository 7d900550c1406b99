"""The questions of a pool, each split parted from the others, with ids that are unique over all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from disrouter.artifacts import DatasetSource
from disrouter_training.data.sources import Question, Source, read_source
from disrouter_training.data.split import DEV, HELDOUT, TEST, TRAIN, judged_texts, uniquely_named
from disrouter_training.errors import DatasetError
from disrouter_training.pool.base import Questions
from disrouter_training.pool.file import Pool
from disrouter_training.process.progress import Say, say_on_stderr


def pool_questions(pool: Pool, pvc_root: Path, say: Say = say_on_stderr) -> Questions:
    """Read all datasets. Questions that are judged are dropped from training, as the stages do, and counted aloud.

    A question that one split repeats is asked as often as it stands there, again as the stages do.

    Raises DatasetError where nothing is left to train on, or two splits that judge ask the same.
    """
    datasets = pool.datasets
    named = {DEV: datasets.dev, TEST: datasets.test, HELDOUT: datasets.heldout}
    judged = {name: _read(name, sources, pvc_root, say) for name, sources in named.items() if sources}
    texts = judged_texts(judged)
    found = _read(TRAIN, datasets.train, pvc_root, say)
    train = [question for question in found if question.user not in texts]
    if len(train) < len(found):
        say(f"{TRAIN}: {len(found) - len(train)} of {len(found)} questions are filtered: other splits ask them")
    if not train:
        raise DatasetError(f"no question is left for {TRAIN}: other splits ask the same")
    ids: set[str] = set()
    unique = {name: [uniquely_named(q, name, ids) for q in each] for name, each in {**judged, TRAIN: train}.items()}
    return Questions({name: unique[name] for name in (TRAIN, DEV, TEST, HELDOUT) if name in unique})


def _read(name: str, sources: Sequence[DatasetSource], pvc_root: Path, say: Say) -> list[Question]:
    """The questions of a split. Says what its datasets had besides."""
    read = [read_source(source, pvc_root) for source in sources]
    for source in read:
        _report(name, source, say)
    return [question for source in read for question in source.questions]


def _report(name: str, source: Source, say: Say) -> None:
    if source.invalid:
        first = source.invalid[0]
        say(f"{name}: {len(source.invalid)} invalid rows of {source.name} are not used; {first.where}: {first.reason}")
    for reason, count in source.filtered.items():
        say(f"{name}: {count} rows of {source.name} are filtered: {reason}")
