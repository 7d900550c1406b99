"""A request: parsed and checked once, and rewritten for the engine. The original bytes stay what is forwarded."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from disrouter.errors import InvalidRequest
from disrouter.routes import Awareness, RouteTable
from disrouter.scenario import Scenario
from disrouter_sidecar.api.dialect import Dialect, Fields
from disrouter_sidecar.api.wishes import EXTENSION, wish_of_body
from disrouter_sidecar.errors import Rejected
from disrouter_sidecar.wish import Wish


class Query(NamedTuple):
    """One request as the client sent it: `raw` for the next agent, `fields` for the engine."""

    dialect: Dialect
    raw: bytes
    fields: Fields
    model: str
    pinned: str | None
    """The agent that it names; the cascade routes where it names none."""
    stream: bool
    choices: int
    wish: Wish | None
    """What the body asks for, None where it is silent."""

    @property
    def instructable(self) -> bool:
        """Whether an agent can be told to refuse it."""
        return self.dialect.instructable(self.fields)


def parse(raw: bytes, dialect: Dialect, table: RouteTable) -> Query:
    """Check what the sidecar itself relies on; the rest is the engine's to judge. Raises InvalidRequest, Rejected."""
    try:
        fields = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}") from None
    if not isinstance(fields, dict):
        raise InvalidRequest("the body must be a JSON object")
    model = fields.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidRequest("`model` must be a non-empty string; GET /v1/models lists the known ones", "model")
    stream = fields.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise InvalidRequest("`stream` must be true or false", "stream")
    wish = wish_of_body(fields.get(EXTENSION))
    pinned = target(model, table)
    dialect.check(fields, pinned is not None)
    return Query(dialect, raw, fields, model, pinned, stream is True, dialect.choices(fields), wish)


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


def engine_fields(query: Query, model: str, scenario: Scenario | None, awareness: Awareness) -> dict[str, Any]:
    """The engine's request: its model name, without our field, instructed unless the agent cannot refuse."""
    fields = {**query.fields, "model": model}
    fields.pop(EXTENSION, None)
    if scenario is not None and awareness is not Awareness.NONE:
        fields.update(query.dialect.instruct(fields, scenario, prompted=awareness is Awareness.PROMPTED))
    return fields


def dumps(fields: Fields) -> bytes:
    """JSON. Raises InvalidRequest for what cannot be written again, such as a number beyond 64 bits."""
    try:
        return orjson.dumps(fields)
    except orjson.JSONEncodeError as error:
        raise InvalidRequest(f"the body cannot be passed on: {error}") from None
