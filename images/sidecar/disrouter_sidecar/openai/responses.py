"""The responses API: `input` in, `output` items or typed events out.

Answers are not kept, and agents do not share theirs, so a reference to a kept answer needs a pinned agent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from disrouter.errors import InvalidRequest
from disrouter.scenario import StatedPreference, instruct
from disrouter_sidecar.openai.dialect import (
    DEFERRAL,
    DEFERRAL_MEANS,
    NO_PARAMETERS,
    ChoiceUpdate,
    Fields,
    objects,
    plain_error,
    with_tool,
)
from disrouter_sidecar.openai.errors import OpenAIErrors

_ENDS = ("response.completed", "response.incomplete")
_SILENT = ("message", "reasoning")
"""Kinds of output items that are no answer by themselves; every other kind is a call of a tool."""
_CUT_OFF = "max_output_tokens"
_KEPT = ("previous_response_id", "conversation")


class Responses(OpenAIErrors):
    """`POST /v1/responses`."""

    path = "/responses"
    name = "responses"
    probed = False
    comments = True
    limits = ("max_output_tokens",)

    def check(self, fields: Fields, pinned: bool, /) -> None:
        """`input` is text or a list of items; nothing in it needs an answer that was kept, unless pinned."""
        given = fields.get("input")
        if not isinstance(given, str | list):
            raise InvalidRequest("`input` must be a string or a list of items", "input")
        if given == []:
            raise InvalidRequest("`input` is empty; send at least one item", "input")
        for index, item in enumerate(given if isinstance(given, list) else []):
            _check_item(item, f"input[{index}]")
        if fields.get("background"):
            raise InvalidRequest(
                "answers are not kept, so none can be fetched later; leave `background` out", "background"
            )
        for key in _KEPT:
            if fields.get(key) is not None and not pinned:
                message = (
                    "agents do not know each other's kept answers; send the conversation in `input` or pin an agent"
                )
                raise InvalidRequest(message, key)

    def choices(self, _: Fields, /) -> int:
        """The API knows no `n`."""
        return 1

    def instructable(self, _: Fields, /) -> bool:
        """Every input is."""
        return True

    def instruct(self, fields: Fields, preference: StatedPreference, *, prompted: bool) -> Fields:
        """The instruction starts the text, or the first message of the user."""
        given = fields["input"]
        items = [{"role": "user", "content": given}] if isinstance(given, str) else given
        instructed = instruct(items, preference, prompted=prompted, part="input_text")
        return {"input": instructed[0]["content"] if isinstance(given, str) else instructed}

    def offer_deferral(self, fields: Fields, /) -> Fields:
        """One more function, where the request brings any."""
        tool = {"type": "function", "name": DEFERRAL, "description": DEFERRAL_MEANS, "parameters": NO_PARAMETERS}
        return with_tool(fields, tool)

    def turns(self, fields: Fields, /) -> Sequence[Fields]:
        """`input`, where it is a list of items."""
        return objects(fields["input"])

    def event(self, event: Fields) -> Iterator[ChoiceUpdate]:
        """One typed event."""
        kind = event.get("type")
        if kind == "response.output_text.delta":
            delta = event.get("delta")
            yield ChoiceUpdate(0, delta if isinstance(delta, str) else "", answers=not isinstance(delta, str))
        elif kind == "response.refusal.delta":
            yield ChoiceUpdate(0, answers=True)
        elif kind == "response.output_item.added":
            item = event.get("item")
            defers = isinstance(item, dict) and item.get("name") == DEFERRAL
            answers = not defers and (not isinstance(item, dict) or item.get("type") not in _SILENT)
            yield ChoiceUpdate(0, answers=answers, defers=defers)
        elif kind in _ENDS:
            yield ChoiceUpdate(0, ended=True, truncated=_cut_off(event.get("response")))

    def error(self, event: Fields) -> Fields | None:
        """An `error` event, or the end of a response that failed."""
        if event.get("type") == "error":
            return plain_error(event)
        if event.get("type") == "response.failed":
            response = event.get("response")
            return (plain_error(response) if isinstance(response, dict) else None) or {"message": "response.failed"}
        return plain_error(event) if "type" not in event else None

    def whole(self, reply: Fields) -> Iterator[ChoiceUpdate]:
        """All output together; a reply that failed says nothing."""
        output = objects(reply.get("output"))
        if not output:
            return
        parts = [part for item in output if item.get("type") == "message" for part in objects(item.get("content"))]
        defers = any(item.get("name") == DEFERRAL for item in output)
        calls = not defers and any(item.get("type") not in _SILENT for item in output)
        readable = all(part.get("type") == "output_text" and isinstance(part.get("text"), str) for part in parts)
        text = "".join(part["text"] for part in parts) if readable else ""
        yield ChoiceUpdate(0, text, answers=calls or not readable, ended=True, truncated=_cut_off(reply), defers=defers)


def _check_item(item: Any, param: str) -> None:
    if not isinstance(item, dict):
        raise InvalidRequest("an item must be an object", param)
    content = item.get("content")
    if content is not None and not isinstance(content, str | list):
        raise InvalidRequest("`content` must be a string or a list of parts", f"{param}.content")


def _cut_off(response: Any) -> bool:
    details = response.get("incomplete_details") if isinstance(response, dict) else None
    return isinstance(details, dict) and details.get("reason") == _CUT_OFF
