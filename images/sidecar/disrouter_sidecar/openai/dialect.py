"""One description per API, so that runs, attempts and decisions are the same for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from disrouter.scenario import StatedPreference

Fields = Mapping[str, Any]
"""A JSON object as it was parsed."""
MAX_CHOICES = 128
"""Largest `n` that OpenAI's APIs allow."""


@dataclass(slots=True)
class ChoiceUpdate:
    """What an event of a stream, or a whole reply, adds to one of its choices."""

    index: int
    text: str = ""
    answers: bool = False
    """It has what no refusal has: a tool call, audio, or a refusal by the provider's policy."""
    ended: bool = False
    truncated: bool = False
    """With `ended`: its token limit ended it."""


class Dialect(Protocol):
    """An API: where it is, what it must hold, where the instruction goes, where a reply's text is."""

    @property
    def path(self) -> str:
        """Its path under the base address, which ends in `/v1` for every engine: `/chat/completions`."""
        ...

    @property
    def name(self) -> str:
        """OpenTelemetry's `gen_ai.operation.name`, and the name in logs."""
        ...

    @property
    def probed(self) -> bool:
        """Whether the chances of its first token can be asked for, as the probability mode does."""
        ...

    def check(self, fields: Fields, pinned: bool, /) -> None:
        """Raise InvalidRequest for what the sidecar itself relies on; the rest is the engine's to judge."""
        ...

    def choices(self, fields: Fields, /) -> int:
        """How many choices are requested; the agent refuses only if all of them are refusals."""
        ...

    def instructable(self, fields: Fields, /) -> bool:
        """Whether an instruction can be put in; a request without one goes to an agent that always answers."""
        ...

    def instruct(self, fields: Fields, preference: StatedPreference, *, prompted: bool) -> Fields:
        """The fields that change when the instruction is put in."""
        ...

    def event(self, event: Fields) -> Iterable[ChoiceUpdate]:
        """What one event of a stream adds to its choices."""
        ...

    def error(self, event: Fields) -> Fields | None:
        """The error that an event of a stream reports."""
        ...

    def whole(self, reply: Fields) -> Iterable[ChoiceUpdate]:
        """Each choice of a whole reply; none where it cannot be parsed."""
        ...


def number_of_choices(fields: Fields) -> int:
    """`n` where it is valid, else 1: the engine rejects a wrong one."""
    n = fields.get("n")
    return n if isinstance(n, int) and not isinstance(n, bool) and 1 <= n <= MAX_CHOICES else 1


def objects(value: Any) -> list[Fields]:
    """The JSON objects of a list; none where it is not a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def index_of(choice: Fields) -> int:
    """Its place among the choices; -1, which none has, where it is not a number."""
    index = choice.get("index", 0)
    return index if isinstance(index, int) else -1


def plain_error(event: Fields) -> Fields | None:
    """`{"error": ...}`, as engines send it under status 200."""
    error = event.get("error")
    if error is None or isinstance(error, dict):
        return error
    return {"message": str(error)}
