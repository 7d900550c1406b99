"""One dataset, row by row: a question, filtered by its converter, or invalid. No row disappears without a word."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from disrouter.artifacts import DatasetSource
from disrouter_training.data import graders
from disrouter_training.data.sources.convert import Convert, Converter, Filtered, Unusable, find, known, plain
from disrouter_training.data.sources.files import Located, Unreadable, file_rows
from disrouter_training.data.sources.hub import hub_rows
from disrouter_training.data.sources.question import Question
from disrouter_training.errors import DatasetError

MAX_INVALID_SHARE = 0.1
"""Above this share of invalid rows the file is taken for the wrong file."""


class InvalidRow(NamedTuple):
    """A row that cannot be used: where it stands and why."""

    where: str
    reason: str


@dataclass(frozen=True)
class Source:
    """What one dataset gave."""

    name: str
    questions: tuple[Question, ...]
    invalid: tuple[InvalidRow, ...]
    filtered: dict[str, int]
    """Sound rows that do not belong to the task: how many, by reason."""

    @property
    def fingerprint(self) -> str:
        """Changes when any question does, or the passage that says where it is held out."""
        digest = hashlib.sha256()
        for question in self.questions:
            digest.update(f"{question.model_dump_json()}\n{question.passage or ''}\n".encode())
        return digest.hexdigest()[:16]


def read_source(source: DatasetSource, pvc_root: Path) -> Source:
    """Read one dataset. Raises DatasetError if it is not there, empty, or more invalid than MAX_INVALID_SHARE."""
    if source.file is not None:
        name, rows = source.file, file_rows(source.file, pvc_root)
        convert = plain if source.format is None else _format(source.format)
    else:
        converter = find(str(source.id)) or Converter(str(source.id), plain)
        name, rows, convert = str(source.id), hub_rows(source, converter), converter.convert
    questions, invalid, filtered = _parse(rows, Path(name).name, convert)
    if invalid and len(invalid) > MAX_INVALID_SHARE * (len(invalid) + len(questions)):
        first = "; ".join(f"{row.where}: {row.reason}" for row in invalid[:3])
        raise DatasetError(
            f"{name}: {len(invalid)} of {len(invalid) + len(questions)} rows are invalid ({first}); correct the file, "
            "or register a converter for it"
        )
    if not questions:
        raise DatasetError(f"{name}: no questions; give rows with `question` and `answer`")
    taken = _sample(questions, source.sample)
    if len(taken) < len(questions):
        filtered[f"not in the sample of {source.sample}"] = len(questions) - len(taken)
    kind = _dataset_name(source)
    return Source(name, tuple(_of_kind(question, kind) for question in taken), tuple(invalid), dict(filtered))


def _sample(questions: list[Question], count: int | None) -> list[Question]:
    """The questions whose text has the smallest hashes, in their order: a question's fate depends on no other one's
    but by their number, so a dataset that grows keeps most of its sample."""
    if count is None or len(questions) <= count:
        return questions
    chosen = sorted(range(len(questions)), key=lambda place: _hash(questions[place]))[:count]
    return [questions[place] for place in sorted(chosen)]


def _hash(question: Question) -> bytes:
    return hashlib.sha256(f"sample/{question.user}".encode()).digest()


def _dataset_name(source: DatasetSource) -> str | None:
    """What the dataset is called in reports; None for a file of nobody's format."""
    name = source.id or source.format
    return name.rpartition("/")[2] if name else None


def _of_kind(question: Question, kind: str | None) -> Question:
    """The question with the dataset as its kind, where its row has none."""
    return question if question.kind or kind is None else question.model_copy(update={"kind": kind})


def _format(dataset: str) -> Convert:
    found = find(dataset)
    if found is None:
        raise DatasetError(f"no converter is known for the format {dataset!r}; use one of {', '.join(known())}")
    return found.convert


def _parse(
    rows: Iterable[Located], stem: str, convert: Convert
) -> tuple[list[Question], list[InvalidRow], Counter[str]]:
    questions: list[Question] = []
    invalid: list[InvalidRow] = []
    filtered: Counter[str] = Counter()
    seen: set[str] = set()
    for where, content in rows:
        try:
            question = _question(content, f"{stem}:{where}", convert)
            if question.id in seen:
                raise Unusable(f"id {question.id!r} is used by an earlier row")
        except Filtered as reason:
            filtered[str(reason)] += 1
        except Unusable as reason:
            invalid.append(InvalidRow(where, str(reason)))
        else:
            seen.add(question.id)
            questions.append(question)
    return questions, invalid, filtered


def _question(content: Any, default_id: str, convert: Convert) -> Question:
    """Raises Unusable or Filtered with the reason."""
    if isinstance(content, Unreadable):
        raise Unusable(content.reason)
    if not isinstance(content, dict):
        raise Unusable("not a JSON object")
    try:
        question = Question.model_validate({"id": default_id, **convert(content)})
    except ValidationError as error:
        reasons = (f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise Unusable("; ".join(reasons)) from None
    except (Filtered, Unusable):
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        shown = f"no column {error}" if isinstance(error, KeyError) else str(error)
        raise Unusable(f"the converter cannot read it: {shown}") from None
    if question.grader not in graders.known():
        raise Unusable(f"grader: {question.grader!r} is none of {', '.join(graders.known())}")
    reason = graders.problem(question.grader, question.answer)
    if reason is not None:
        raise Unusable(f"answer: {reason} for the grader `{question.grader}`")
    return question
