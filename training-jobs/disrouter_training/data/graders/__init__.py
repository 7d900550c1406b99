"""Whether a final answer is right. A grader is a small object; more come as entry points of `disrouter.graders`.

[project.entry-points."disrouter.graders"]
chemistry = "my_package.graders:Chemistry"

- `statements`   where a reply says what its answer is
- `choice`       letters of a multiple choice
- `mathematics`  numbers and expressions, by math-verify
- `text`         equal texts, spans of a passage
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import Protocol, runtime_checkable

from disrouter_training.data.graders.choice import Choice, Options
from disrouter_training.data.graders.mathematics import Mathematics
from disrouter_training.data.graders.statements import Statement
from disrouter_training.data.graders.text import Exact, Span
from disrouter_training.errors import DatasetError

GROUP = "disrouter.graders"
SEPARATOR = "\u001f"
"""Between answers of which any is right, in a question's `answer` (the unit separator of ASCII)."""


@runtime_checkable
class Grader(Protocol):
    """Compares a final answer, without the words that lead to it, with what is expected."""

    def problem(self, expected: str) -> str | None:
        """Why `expected` cannot be graded against, None if it can."""
        ...

    def correct(self, expected: str, final: str) -> bool:
        """Whether `final` is right. Never raises, whatever a model wrote."""
        ...


@runtime_checkable
class Reader(Protocol):
    """A grader that also knows an answer of its kind where it sees one; without it, the most telling place counts."""

    def read(self, statement: Statement, options: Options) -> str | None:
        """The final answer that a place of a reply gives, None if it gives none."""
        ...


_BUILT_IN: dict[str, type[Grader]] = {
    "exact": Exact,
    "number": Mathematics,
    "math": Mathematics,
    "choice": Choice,
    "span": Span,
}


@cache
def known() -> tuple[str, ...]:
    """Names of all graders, those of other packages included. Looked for once: that reads every package's metadata."""
    return tuple(sorted({*_BUILT_IN, *(point.name for point in entry_points(group=GROUP))}))


@cache
def grader(name: str) -> Grader:
    """The grader of that name. Raises DatasetError that lists those that exist, or says why one cannot be loaded."""
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    for point in entry_points(group=GROUP, name=name):
        try:
            made = point.load()()
        except Exception as error:  # the package is not ours and may raise what it likes
            raise DatasetError(f"the grader {name!r} of {point.value} cannot be loaded: {error}") from error
        if not isinstance(made, Grader):
            raise DatasetError(f"{point.value} is no grader: it needs the methods problem and correct")
        return made
    raise DatasetError(f"no grader is named {name!r}; use one of {', '.join(known())}")


def problem(name: str, answer: str) -> str | None:
    """Why a question's answer cannot be graded, None if it can; any of several answers must be fit."""
    return next((found for each in answer.split(SEPARATOR) if (found := grader(name).problem(each))), None)
