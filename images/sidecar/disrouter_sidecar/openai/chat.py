"""Chat completions: `messages` in, `choices[].message` or `choices[].delta` out."""

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
    ending,
    index_of,
    number_of_choices,
    objects,
    plain_error,
    text_of,
    with_tool,
)
from disrouter_sidecar.openai.errors import OpenAIErrors

_ANSWERS = frozenset(("tool_calls", "function_call", "refusal", "audio", "images"))
_FILTERED = "content_filter"
"""Why a reply ended that the provider's policy has kept back: an answer, as its `refusal` is."""


class Chat(OpenAIErrors):
    """`POST /v1/chat/completions`. Reasoning fields decide nothing."""

    path = "/chat/completions"
    name = "chat"
    probed = True
    comments = True
    limits = ("max_tokens", "max_completion_tokens")

    def check(self, fields: Fields, _pinned: bool, /) -> None:
        """`messages` is a non-empty list of messages with a role."""
        check_messages(fields.get("messages"), "messages")

    def choices(self, fields: Fields) -> int:
        """`n`."""
        return number_of_choices(fields)

    def instructable(self, _: Fields, /) -> bool:
        """Every chat is."""
        return True

    def instruct(self, fields: Fields, preference: StatedPreference, *, prompted: bool) -> Fields:
        """The instruction starts the first user message."""
        return {"messages": instruct(fields["messages"], preference, prompted=prompted)}

    def offer_deferral(self, fields: Fields, /) -> Fields:
        """One more function, where the request brings any."""
        function = {"name": DEFERRAL, "description": DEFERRAL_MEANS, "parameters": NO_PARAMETERS}
        return with_tool(fields, {"type": "function", "function": function})

    def turns(self, fields: Fields, /) -> Sequence[Fields]:
        """`messages`."""
        return objects(fields["messages"])

    def event(self, event: Fields) -> Iterator[ChoiceUpdate]:
        """One chunk."""
        for choice in objects(event.get("choices")):
            yield _update(choice, choice.get("delta"))

    def error(self, event: Fields) -> Fields | None:
        """An `error` event."""
        return plain_error(event)

    def whole(self, reply: Fields) -> Iterator[ChoiceUpdate]:
        """Each choice's message."""
        for choice in objects(reply.get("choices")):
            yield _update(choice, choice.get("message"))


def check_messages(messages: Any, param: str) -> None:
    """A non-empty list of objects with `role` and, where they have one, `content` of text or parts."""
    if not isinstance(messages, list):
        raise InvalidRequest(f"`{param}` must be a list of messages", param)
    if not messages:
        raise InvalidRequest(f"`{param}` is empty; send at least one message", param)
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise InvalidRequest("a message must be an object with a `role`", f"{param}[{index}]")
        content = message.get("content")
        if content is not None and not isinstance(content, (str, list)):
            raise InvalidRequest("`content` must be a string or a list of parts", f"{param}[{index}].content")


def _update(choice: Fields, message: Any) -> ChoiceUpdate:
    fields: Fields = message if isinstance(message, dict) else {}
    text, answers = text_of(fields.get("content"))
    ended, truncated = ending(choice)
    defers = False
    if not _ANSWERS.isdisjoint(fields):
        defers = _first_call(fields.get("tool_calls")) == DEFERRAL
        answers |= not defers and any(fields[key] for key in _ANSWERS & fields.keys())
    answers |= choice.get("finish_reason") == _FILTERED
    return ChoiceUpdate(index_of(choice), text, answers, ended, truncated, defers)


def _first_call(calls: Any) -> Any:
    """The name of the first function that is called."""
    call = next(iter(objects(calls)), {})
    function = call.get("function")
    return function.get("name") if isinstance(function, dict) else None
