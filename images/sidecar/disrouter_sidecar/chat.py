"""A chat request: parsed and checked once, and rewritten for the engine. The original bytes stay what is forwarded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from disrouter.errors import InvalidRequest
from disrouter.names import HEADER_PREFERENCE, HEADER_SCENARIO
from disrouter.routes import Awareness, RouteTable
from disrouter.scenario import Scenario, instruct, parse_scenario
from disrouter_sidecar.errors import Rejected
from disrouter_sidecar.wish import Wish

EXTENSION = "disrouter"
"""Field of the body (OpenAI clients: `extra_body`) that holds `scenario` and `preference`; engines never see it."""
MAX_CHOICES = 128
"""Largest `n` that OpenAI's API allows."""


@dataclass(frozen=True)
class Chat:
    """One request as the client sent it: `raw` for the next agent, `fields` for the engine."""

    raw: bytes
    fields: Mapping[str, Any]
    model: str
    stream: bool
    choices: int
    wish: Wish | None
    """What is asked for in the body, None where the body is silent."""


def parse(raw: bytes) -> Chat:
    """Check what the sidecar itself relies on; the rest is the engine's to judge. Raises InvalidRequest."""
    try:
        fields = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}") from None
    if not isinstance(fields, dict):
        raise InvalidRequest("the body must be a JSON object with `model` and `messages`")
    model = fields.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidRequest("`model` must be a non-empty string; GET /v1/models lists the known ones", "model")
    _check_messages(fields.get("messages"))
    stream = fields.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise InvalidRequest("`stream` must be true or false", "stream")
    n = fields.get("n")
    choices = n if isinstance(n, int) and not isinstance(n, bool) and 1 <= n <= MAX_CHOICES else 1
    return Chat(raw, fields, model, stream is True, choices, _wish_of_body(fields.get(EXTENSION)))


def _check_messages(messages: Any) -> None:
    if not isinstance(messages, list):
        raise InvalidRequest("`messages` must be a list of messages", "messages")
    if not messages:
        raise InvalidRequest("`messages` is empty; send at least one message", "messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise InvalidRequest("a message must be an object with a `role`", f"messages[{index}]")
        content = message.get("content")
        if content is not None and not isinstance(content, str | list):
            raise InvalidRequest("`content` must be a string or a list of parts", f"messages[{index}].content")


def _wish_of_body(extension: Any) -> Wish | None:
    if extension is None:
        return None
    if not isinstance(extension, dict):
        raise InvalidRequest("`disrouter` must be an object with `scenario` or `preference`", EXTENSION)
    for key in extension:
        if key not in ("scenario", "preference"):
            raise InvalidRequest(f"`disrouter` has no field {key[:64]!r}; use scenario or preference", EXTENSION)
    scenario = extension.get("scenario")
    preference = extension.get("preference")
    if scenario is not None and not isinstance(scenario, str):
        raise InvalidRequest("`scenario` must be a string", f"{EXTENSION}.scenario")
    if preference is not None and (isinstance(preference, bool) or not isinstance(preference, int | float)):
        raise InvalidRequest("`preference` must be a number in [0, 1]", f"{EXTENSION}.preference")
    return _wish(scenario, preference, f"{EXTENSION}.scenario", f"{EXTENSION}.preference")


def wish_of_headers(headers: Mapping[str, str]) -> Wish | None:
    """What the headers ask for. Raises InvalidRequest that names the header."""
    text = headers.get(HEADER_PREFERENCE)
    preference = None
    if text is not None:
        try:
            preference = float(text)
        except ValueError:
            message = f"preference must be a number in [0, 1], got {text[:64]!r}"
            raise InvalidRequest(message, HEADER_PREFERENCE) from None
    return _wish(headers.get(HEADER_SCENARIO), preference, HEADER_SCENARIO, HEADER_PREFERENCE)


def _wish(scenario: str | None, preference: float | None, scenario_param: str, preference_param: str) -> Wish | None:
    """Both are checked; the finer wish, the preference, wins."""
    chosen = None
    if scenario is not None:
        try:
            chosen = Wish.of_scenario(parse_scenario(scenario))
        except InvalidRequest as error:
            raise InvalidRequest(str(error), scenario_param) from None
    if preference is not None:
        try:
            chosen = Wish.of_preference(preference)
        except InvalidRequest as error:
            raise InvalidRequest(str(error), preference_param) from None
    return chosen


def target(model: str, table: RouteTable) -> str | None:
    """The agent that `<cascade>/<agent>` pins, None for `<cascade>`. Raises Rejected for any other name."""
    cascade, slash, agent = model.partition("/")
    if cascade == table.cascade:
        if not slash:
            return None
        if agent in table.agents:
            return agent
    known = ", ".join([table.cascade, *(f"{table.cascade}/{name}" for name in table.agents)])
    message = f"the model {model[:128]!r} does not exist; known: {known}"
    raise Rejected(404, "model_not_found", message, param="model")


def engine_fields(chat: Chat, model: str, scenario: Scenario | None, awareness: Awareness) -> dict[str, Any]:
    """The engine's request: its model name, without our field, instructed unless the agent cannot refuse."""
    fields = {key: value for key, value in chat.fields.items() if key != EXTENSION}
    fields["model"] = model
    if scenario is not None and awareness is not Awareness.NONE:
        fields["messages"] = instruct(fields["messages"], scenario, prompted=awareness is Awareness.PROMPTED)
    return fields


def dumps(fields: Mapping[str, Any]) -> bytes:
    """JSON. Raises InvalidRequest for what cannot be written again, such as a number beyond 64 bits."""
    try:
        return orjson.dumps(fields)
    except orjson.JSONEncodeError as error:
        raise InvalidRequest(f"the body cannot be passed on: {error}") from None
