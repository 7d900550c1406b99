"""A request to a pass-through API: only its model is read and replaced."""

from __future__ import annotations

from disrouter.errors import InvalidRequest
from disrouter.routes import RouteTable
from disrouter.terms import Awareness
from disrouter_sidecar.openai.dialect import Dialect, Fields
from disrouter_sidecar.openai.errors import model_names
from disrouter_sidecar.openai.pass_through.form import is_form, value_of
from disrouter_sidecar.openai.query import Query, dumps, engine_fields, loads, target

MODEL = "model"
"""The one field that is read and replaced."""


def parse_named(raw: bytes, content_type: str | None, api: Dialect, table: RouteTable) -> Query:
    """A request that must name its agent. Raises InvalidRequest, Rejected."""
    fields = _form_fields(raw, content_type) if content_type is not None and is_form(content_type) else loads(raw)
    if not isinstance(fields, dict):
        raise InvalidRequest("the body must be a JSON object")
    model = fields.get(MODEL)
    if not isinstance(model, str) or not model:
        raise _unnamed(api, table)
    pinned = target(model, table)
    if pinned is None:
        raise _unnamed(api, table)
    return Query(api, raw, fields, model, pinned, fields.get("stream") is True, 1, None)


def body_for(query: Query, content_type: str, model: str) -> bytes:
    """The engine's request: with its own model name, else as it came. Raises InvalidRequest."""
    place = value_of(query.raw, content_type, MODEL) if is_form(content_type) else None
    if place is None:
        return dumps(engine_fields(query, model, None, Awareness.NONE))
    return b"".join((query.raw[: place.start], model.encode(), query.raw[place.stop :]))


def _form_fields(raw: bytes, content_type: str) -> Fields:
    place = value_of(raw, content_type, MODEL)
    try:
        return {} if place is None else {MODEL: raw[place].decode()}
    except UnicodeDecodeError:
        raise InvalidRequest("`model` must be UTF-8", MODEL) from None


def _unnamed(api: Dialect, table: RouteTable) -> InvalidRequest:
    names = [name for name in model_names(table) if name != table.cascade and _is_agent(name, table)]
    last = f"{table.cascade}/{table.path()[-1]}"
    return InvalidRequest(
        f"/v1{api.path} is no question that the cascade could route; name the agent that is to answer it, for example "
        f'"model": "{last}"; known: {", ".join(names)}',
        MODEL,
    )


def _is_agent(name: str, table: RouteTable) -> bool:
    alias = table.aliases.get(name)
    return alias is None or alias.agent is not None
