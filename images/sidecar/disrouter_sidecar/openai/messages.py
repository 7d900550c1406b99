"""Anthropic's messages API: `messages` and `system` in, blocks of content out; spoken by coding agents and by vLLM."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from disrouter.scenario import StatedPreference, instruct
from disrouter_sidecar.openai.chat import check_messages
from disrouter_sidecar.openai.dialect import (
    DEFERRAL,
    DEFERRAL_MEANS,
    NO_PARAMETERS,
    ChoiceUpdate,
    Fields,
    data_event,
    objects,
    text_of,
    with_tool,
)
from disrouter_sidecar.openai.errors import has_error

_SILENT = ("text", "thinking", "redacted_thinking")
"""Blocks that are no answer by themselves; every other kind is a call of a tool."""
_CUT_OFF = ("max_tokens", "stop_sequence")
_KINDS: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}


class AnthropicErrors:
    """How an API with Anthropic's errors writes and knows them."""

    def error_body(self, status: int, code: str | None, message: str, param: str | None = None) -> bytes:
        """Anthropic's shape; code and field, which it does not know, stand in the message."""
        kind = _KINDS.get(status, "invalid_request_error" if status < 500 else "api_error")
        text = f"{param}: {message}" if param is not None else message
        return orjson.dumps({"type": "error", "error": {"type": kind, "message": text, "code": code}})

    def error_event(self, body: bytes, /) -> bytes:
        """The same, as a typed event."""
        return b"event: error\n" + data_event(body)

    def in_shape(self, value: Any, /) -> bool:
        """An object `error` with a `message`."""
        return has_error(value) and value.get("type") == "error"


class Messages(AnthropicErrors):
    """`POST /v1/messages`."""

    path = "/messages"
    name = "messages"
    probed = False
    comments = True
    limits: tuple[str, ...] = ()

    def check(self, fields: Fields, _pinned: bool, /) -> None:
        """`messages` is a non-empty list of messages with a role."""
        check_messages(fields.get("messages"), "messages")

    def choices(self, _: Fields, /) -> int:
        """The API knows no `n`."""
        return 1

    def instructable(self, _: Fields, /) -> bool:
        """Every conversation is."""
        return True

    def instruct(self, fields: Fields, preference: StatedPreference, *, prompted: bool) -> Fields:
        """The instruction starts the first message of the user."""
        return {"messages": instruct(fields["messages"], preference, prompted=prompted)}

    def offer_deferral(self, fields: Fields, /) -> Fields:
        """One more tool, where the request brings any."""
        return with_tool(fields, {"name": DEFERRAL, "description": DEFERRAL_MEANS, "input_schema": NO_PARAMETERS})

    def turns(self, fields: Fields, /) -> Sequence[Fields]:
        """`messages`."""
        return objects(fields["messages"])

    def event(self, event: Fields) -> Iterator[ChoiceUpdate]:
        """One typed event."""
        kind = event.get("type")
        if kind == "content_block_start":
            yield _block(event.get("content_block"))
        elif kind == "content_block_delta":
            delta = event.get("delta")
            if isinstance(delta, dict) and delta.get("type") == "text_delta":
                text, answers = text_of(delta.get("text"))
                yield ChoiceUpdate(0, text, answers=answers)
        elif kind == "message_delta":
            delta = event.get("delta")
            reason = delta.get("stop_reason") if isinstance(delta, dict) else None
            yield ChoiceUpdate(0, ended=bool(reason), truncated=reason in _CUT_OFF, answers=reason == "refusal")

    def error(self, event: Fields) -> Fields | None:
        """`{"type": "error", "error": {...}}`."""
        error = event.get("error")
        if error:
            return error if isinstance(error, dict) else {"message": str(error)}
        return event if event.get("type") == "error" else None

    def whole(self, reply: Fields) -> Iterator[ChoiceUpdate]:
        """All blocks together."""
        content, reason = reply.get("content"), reply.get("stop_reason")
        blocks = [_block(block) for block in objects(content)]
        if isinstance(content, str):
            blocks = [ChoiceUpdate(0, content)]
        if blocks or reason is not None:
            yield ChoiceUpdate(
                0,
                "".join([block.text for block in blocks]),
                answers=any(block.answers for block in blocks) or reason == "refusal",
                ended=True,
                truncated=reason in _CUT_OFF,
                defers=any(block.defers for block in blocks),
            )


def _block(block: Any) -> ChoiceUpdate:
    if not isinstance(block, dict):
        return ChoiceUpdate(0)
    defers = block.get("name") == DEFERRAL
    text = block.get("text")
    answers = not defers and block.get("type") not in _SILENT
    return ChoiceUpdate(0, text if isinstance(text, str) else "", answers=answers, defers=defers)
