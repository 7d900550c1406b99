"""A question and where questions come from: JSONL files and Hub datasets. No row disappears without a word."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from disrouter.artifacts import DatasetSource
from disrouter_training.errors import DatasetError
from disrouter_training.grading import Grader, number_in
from disrouter_training.places import resolve

MAX_TEXT = 200_000
"""Characters of a question; far above any context window here, far below what would fill the memory."""
MAX_BAD_SHARE = 0.1
"""Above this share of bad rows the file is taken for the wrong file."""
GSM8K_MARK = "####"
"""GSM8K's `answer` is a worked solution whose result follows this mark."""


class Question(BaseModel):
    """One row. Unknown columns are ignored, since real datasets have many."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)

    id: str = Field(min_length=1, max_length=512)
    question: str = Field(min_length=1, max_length=MAX_TEXT)
    answer: str = Field(min_length=1, max_length=MAX_TEXT)
    instruction: str | None = Field(default=None, max_length=MAX_TEXT)
    grader: Grader = Grader.EXACT
    family: str | None = None
    kind: str | None = None
    difficulty: float | str | None = None

    @property
    def user(self) -> str:
        """The user message: the instruction, if any, and the question."""
        return f"{self.instruction}\n{self.question}" if self.instruction else self.question


class BadRow(NamedTuple):
    """A row that cannot be used: where it stands and why."""

    where: str
    reason: str


@dataclass(frozen=True)
class Source:
    """What one dataset gave."""

    name: str
    questions: tuple[Question, ...]
    bad: tuple[BadRow, ...]

    @property
    def fingerprint(self) -> str:
        """Changes when any question does."""
        digest = hashlib.sha256()
        for question in self.questions:
            digest.update(question.model_dump_json().encode() + b"\n")
        return digest.hexdigest()[:16]


def read_source(source: DatasetSource, pvc_root: Path) -> Source:
    """Read one dataset. Raises DatasetError if it is not there, empty, or more bad than MAX_BAD_SHARE."""
    if source.file is not None:
        path = Path(resolve(source.file, pvc_root))
        name, rows = source.file, _file_rows(path)
    else:
        name, rows = str(source.id), _hub_rows(source)
    questions, bad = _parse(rows, Path(name).name)
    if bad and len(bad) > MAX_BAD_SHARE * (len(bad) + len(questions)):
        first = "; ".join(f"{row.where}: {row.reason}" for row in bad[:3])
        raise DatasetError(
            f"{name}: {len(bad)} of {len(bad) + len(questions)} rows are bad ({first}); correct the file"
        )
    if not questions:
        raise DatasetError(f"{name}: no questions; give JSONL rows with `question` and `answer`")
    return Source(name, tuple(questions), tuple(bad))


Row = tuple[str, Any]
"""Where a row stands and its content: a dict, or the text of a line that is not JSON."""


def _parse(rows: Iterable[Row], stem: str) -> tuple[list[Question], list[BadRow]]:
    questions: list[Question] = []
    bad: list[BadRow] = []
    seen: set[str] = set()
    for where, content in rows:
        result = _question(content, f"{stem}:{where}")
        if isinstance(result, str):
            bad.append(BadRow(where, result))
        elif result.id in seen:
            bad.append(BadRow(where, f"id {result.id!r} is used by an earlier row"))
        else:
            seen.add(result.id)
            questions.append(result)
    return questions, bad


def _question(content: Any, default_id: str) -> Question | str:
    """The question, or the reason why it is none."""
    if not isinstance(content, dict):
        return "not a JSON object"
    try:
        question = Question.model_validate({"id": default_id, **_known_convention(content)})
    except ValidationError as error:
        return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
    if question.grader is Grader.NUMBER and number_in(question.answer) is None:
        return f"answer: no number in {question.answer[:40]!r} for the grader `number`"
    return question


def _known_convention(content: dict[str, Any]) -> dict[str, Any]:
    """GSM8K's worked answers become their result; columns that are null count as absent."""
    row = {key: value for key, value in content.items() if value is not None}
    answer = row.get("answer")
    if isinstance(answer, str) and GSM8K_MARK in answer:
        row = {"grader": Grader.NUMBER, **row, "answer": answer.rpartition(GSM8K_MARK)[2].strip()}
    return row


def _file_rows(path: Path) -> Iterator[Row]:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield f"line {number}", _json(line)
    except OSError as error:
        raise DatasetError(f"cannot read the questions {path}: {error.strerror}; check datasets[].file") from error


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _hub_rows(source: DatasetSource) -> Iterator[Row]:
    import datasets

    split = source.split or "train"
    try:
        table = datasets.load_dataset(source.id, source.config, split=split)
    except Exception as error:  # the library raises many kinds, all about this one address
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DatasetError(
            f"cannot load the Hub dataset {source.id} (config {source.config}, split {split}): {reason}; "
            "check datasets[].id/config/split, or give a JSONL file"
        ) from error
    if not {"question", "answer"} <= set(table.column_names):
        found = ", ".join(table.column_names)
        raise DatasetError(
            f"the Hub dataset {source.id} has the columns {found} but needs question and answer; "
            "write those two into a JSONL and give it as datasets[].file"
        )
    for number, row in enumerate(table):
        yield f"{split} row {number}", row
