"""One description per API, so that runs, attempts and decisions are the same for all of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
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
    """Its token limit or a stop string ended it."""
    defers: bool = False
    """It calls the deferral tool: a refusal."""


DEFERRAL = "defer_to_a_larger_model"
"""The deferral tool: an agent that calls it has refused."""
DEFERRAL_MEANS = (
    "Call this, and nothing else, if you choose not to answer or are not certain which other function to call. A "
    "larger model then takes over."
)
NO_PARAMETERS: Fields = {"type": "object", "properties": {}}
"""Of the deferral tool, as a JSON schema."""


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

    @property
    def comments(self) -> bool:
        """Whether its streams are server-sent events, between which comments may stand."""
        ...

    @property
    def limits(self) -> Collection[str]:
        """Its token limits without which an engine goes on up to the end of its context."""
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

    def offer_deferral(self, fields: Fields, /) -> Fields:
        """The fields that change when the deferral tool is offered; none where the request brings no tools."""
        ...

    def turns(self, fields: Fields, /) -> Sequence[Fields]:
        """The conversation, one object per turn; empty where the API has none."""
        ...

    def error_body(self, status: int, code: str | None, message: str, param: str | None = None) -> bytes:
        """An error in the API's shape."""
        ...

    def error_event(self, body: bytes, /) -> bytes:
        """The same, as the last event of a stream whose first byte has reached the client."""
        ...

    def in_shape(self, value: Any, /) -> bool:
        """Whether an engine's error already has it."""
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


def data_event(body: bytes) -> bytes:
    """A JSON object as one event of a stream."""
    return b"".join(b"data: " + line + b"\n" for line in body.splitlines()) + b"\n"


def number_of_choices(fields: Fields) -> int:
    """`n` where it is valid, else 1: the engine rejects a wrong one."""
    n = fields.get("n")
    return n if isinstance(n, int) and not isinstance(n, bool) and 1 <= n <= MAX_CHOICES else 1


def objects(value: Any) -> list[Fields]:
    """The JSON objects of a list; none where it is not a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def index_of(choice: Fields) -> int:
    """Its place among the choices, 0 where it gives none."""
    index = choice.get("index")
    if isinstance(index, str) and index.isascii() and index.isdigit():
        return int(index)
    return index if isinstance(index, int) else 0


_TRUNCATED = frozenset(("length", "max_tokens", "max_output_tokens", "model_length"))
_ENDED = _TRUNCATED | {
    *("stop", "eos", "eos_token", "end", "end_turn", "stop_sequence", "tool_calls", "tool_use", "function_call"),
    *("content_filter", "refusal", "abort", "error", "done", "finished", "completed"),
}
"""Why a choice ended, by any engine. Other words, an empty one among them, do not say that it has."""


def ending(choice: Fields) -> tuple[bool, bool]:
    """Whether a choice has ended, and whether a limit or a stop string cut it off."""
    reason = choice.get("finish_reason")
    if not isinstance(reason, str):
        return False, False
    reason = reason.lower()
    return reason in _ENDED, reason in _TRUNCATED or isinstance(choice.get("stop_reason"), str)


_SILENT = frozenset(
    ("thinking", "redacted_thinking", "reasoning", "reasoning_text", "summary_text", "reasoning_content")
)


def text_of(content: Any) -> tuple[str, bool]:
    """The text of a reply's content, and whether it has what no refusal has, such as an image.

    Content is a string, or a list of parts of which those of reasoning say nothing.
    """
    if isinstance(content, str):
        return content, False
    if content is None:
        return "", False
    texts, answers = [], False
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and part.get("type") not in _SILENT:
            text = part.get("text")
            texts.append(text if isinstance(text, str) else "")
            answers |= not isinstance(text, str) and len(part) > ("type" in part)
    return "".join(texts), answers


def plain_error(event: Fields) -> Fields | None:
    """`{"error": ...}` or `{"object": "error", ...}`, as engines send them under status 200."""
    error = event.get("error")
    if error:
        return error if isinstance(error, dict) else {"message": str(error)}
    is_one = event.get("object") == "error" or (event.get("type") == "error" and "choices" not in event)
    return event if is_one else None


def with_tool(fields: Fields, tool: Fields) -> Fields:
    """The field `tools` with one more; nothing where the request brings none."""
    tools = fields.get("tools")
    return {"tools": [*tools, tool]} if isinstance(tools, list) and tools else {}
