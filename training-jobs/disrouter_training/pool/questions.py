"""The questions of a pool, each sheet parted from the others, with ids that are unique over all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from disrouter.artifacts import DatasetSource
from disrouter_training.data.sources import Question, Source, read_source
from disrouter_training.data.split import DEV, HELDOUT, TEST, uniquely_named
from disrouter_training.errors import DatasetError
from disrouter_training.pool.base import TRAIN, Questions
from disrouter_training.pool.file import Pool
from disrouter_training.process.progress import Say, say_on_stderr


def pool_questions(pool: Pool, pvc_root: Path, say: Say = say_on_stderr) -> Questions:
    """Read all datasets. Questions that are judged are dropped from training, as the stages do, and counted aloud.

    A question that one sheet repeats is asked as often as it stands there, again as the stages do.

    Raises DatasetError where a sheet is empty or two sheets that judge ask the same.
    """
    datasets = pool.datasets
    named = {DEV: datasets.dev, TEST: datasets.test, HELDOUT: datasets.heldout, TRAIN: datasets.train}
    sheets: dict[str, list[Question]] = {}
    asked: dict[str, str] = {}
    ids: set[str] = set()
    for name, sources in named.items():
        if not sources:
            continue
        found = _read(name, sources, pvc_root, say)
        kept = _apart(name, found, asked)
        if len(kept) < len(found):
            say(f"{name}: {len(found) - len(kept)} of {len(found)} questions are left out: the other sheets ask them")
        if not kept:
            raise DatasetError(f"no question is left for {name}; the other sheets ask the same")
        sheets[name] = [uniquely_named(question, name, ids) for question in kept]
    return Questions({name: sheets[name] for name in (TRAIN, DEV, TEST, HELDOUT) if name in sheets})


def _read(name: str, sources: Sequence[DatasetSource], pvc_root: Path, say: Say) -> list[Question]:
    """The questions of a sheet. Says what its datasets had besides."""
    read = [read_source(source, pvc_root) for source in sources]
    for source in read:
        _report(name, source, say)
    return [question for source in read for question in source.questions]


def _report(name: str, source: Source, say: Say) -> None:
    if source.bad:
        first = source.bad[0]
        say(f"{name}: {len(source.bad)} bad rows of {source.name} are left out; {first.where}: {first.reason}")
    for reason, count in source.left_out.items():
        say(f"{name}: {count} rows of {source.name} are left out: {reason}")


def _apart(name: str, questions: Sequence[Question], asked: dict[str, str]) -> list[Question]:
    """Those that no other sheet asks; `asked` grows by theirs. Raises DatasetError where another judges by one too."""
    kept: list[Question] = []
    for question in questions:
        before = asked.setdefault(question.user, name)
        if before == name:
            kept.append(question)
        elif name != TRAIN:
            raise DatasetError(f"{before} and {name} both ask {question.user[:80]!r}; part them")
    return kept
