"""A request: parsed and checked once, and rewritten for the engine. The original bytes stay what is forwarded."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

import orjson

from disrouter.errors import InvalidRequest
from disrouter.routes import RouteTable
from disrouter.scenario import StatedPreference
from disrouter.terms import Awareness
from disrouter_sidecar.errors import Rejected
from disrouter_sidecar.openai.constraints import cuts_refusal
from disrouter_sidecar.openai.dialect import Dialect, Fields
from disrouter_sidecar.openai.errors import model_names
from disrouter_sidecar.openai.preference import EXTENSION, Preference, preference_of_body

_PROMPTED, _NONE = Awareness.PROMPTED, Awareness.NONE
_ROUNDED = 2.0**63
"""A number from which on orjson may have made a float of an integer."""
_TOO_LONG = "exceeds 64-bit"
"""In orjson's message on such an integer."""
_TOO_DEEP = "the body is nested too deeply"
MAX_VALUES = 64 * 1024
"""Objects and lists that a body may hold: four times as many messages are half a second of work."""
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)'
"""A string, or an open one up to the end, so that no byte is looked at twice."""
_OPENED = re.compile(rb'(?:[^"{\[]++|%b)*+[{\[]' % _STRING, re.DOTALL)
"""Up to the next object or list that begins, strings passed over."""
_LONG = b"0" * 19
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
"""With which a whole number beyond 64 bits shows as `_LONG`."""
_SHORT, _MANY = 512, 1024
"""Bytes of a text that is looked through at once, and how many values are."""


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
    preference: Preference | None
    """As the body states it, None where it states none."""
    stops: bool = False
    """A stop string of the client would cut a refusal short."""
    tools: bool = False
    """An agent may call a function of the client's."""

    def with_fields(self, changed: Fields) -> Query:
        """With some of its fields changed, for the engine."""
        return self._replace(fields={**self.fields, **changed}) if changed else self

    def replaced(self, fields: Fields) -> Query:
        """With other fields for the engine: one choice, as a stream."""
        return self._replace(fields=fields, stream=True, choices=1)


def parse(raw: bytes, dialect: Dialect, table: RouteTable) -> Query:
    """Check what the sidecar itself relies on; the rest is the engine's to judge. Raises InvalidRequest, Rejected."""
    fields = loads(raw)
    if not isinstance(fields, dict):
        raise InvalidRequest("the body must be a JSON object")
    model = fields.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidRequest("`model` must be a non-empty string; GET /v1/models lists the known ones", "model")
    stream = fields.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise InvalidRequest("`stream` must be true or false", "stream")
    extension = fields.get(EXTENSION)
    preference = None if extension is None else preference_of_body(extension)
    pinned = None if model == table.cascade else target(model, table)
    dialect.check(fields, pinned is not None)
    stops = ("stop" in fields or "stop_sequences" in fields) and (
        cuts_refusal(fields.get("stop")) or cuts_refusal(fields.get("stop_sequences"))
    )
    tools = "tools" in fields or "functions" in fields
    return Query(dialect, raw, fields, model, pinned, stream is True, dialect.choices(fields), preference, stops, tools)


def target(model: str, table: RouteTable) -> str | None:
    """The agent that `<cascade>/<agent>` or an alias pins, None for the cascade. Raises Rejected for any other name."""
    cascade, slash, agent = model.partition("/")
    if cascade == table.cascade:
        if not slash:
            return None
        if agent in table.agents:
            return agent
    alias = table.aliases.get(model)
    if alias is not None:
        return alias.agent
    message = f"the model {model[:128]!r} does not exist; known: {', '.join(model_names(table))}"
    raise Rejected(404, "model_not_found", message, param="model")


def engine_fields(
    query: Query, model: str, preference: StatedPreference | None, awareness: Awareness
) -> dict[str, Any]:
    """The engine's request: with its own model name, without our field, instructed unless the agent must answer."""
    given = query.fields
    fields = {**given, "model": model}
    if EXTENSION in given:
        del fields[EXTENSION]
    if preference is not None and awareness is not _NONE:
        fields.update(query.dialect.instruct(given, preference, prompted=awareness is _PROMPTED))
    return fields


def dumps(fields: Fields) -> bytes:
    """JSON, with whole numbers of any size. Raises InvalidRequest for what cannot be written again: nested too deep."""
    try:
        return orjson.dumps(fields)
    except orjson.JSONEncodeError as error:
        if _TOO_LONG not in str(error):
            raise InvalidRequest(f"the body cannot be forwarded: {error}") from None
    try:
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
    except RecursionError:
        raise InvalidRequest(_TOO_DEEP) from None


def loads(raw: bytes) -> Any:
    """As orjson reads it, and whole numbers beyond 64 bits, which it rounds, as they are.

    Raises InvalidRequest and Rejected.
    """
    if len(raw) > 2 * MAX_VALUES:
        _check_count(raw)
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}") from None
    if not (_LONG in raw.translate(_DIGITS) if len(raw) <= _SHORT else _rounded(value, raw)):
        return value
    try:
        return json.loads(raw)
    except RecursionError:
        raise InvalidRequest(_TOO_DEEP) from None


def _check_count(raw: bytes) -> None:
    """Raises Rejected (413) for a body of very many small values: parsing and checking it would stop all streams.

    Each takes two bytes at least.
    """
    if not (_has_many(raw, b"{") or _has_many(raw, b"[")):
        return
    if raw.count(b"{") + raw.count(b"[") <= MAX_VALUES:
        return
    place, found = 0, 0
    while (opened := _OPENED.match(raw, place)) is not None:
        place, found = opened.end(), found + 1
        if found > MAX_VALUES:
            message = f"the body holds more than {MAX_VALUES} objects and lists; send fewer messages or parts"
            raise Rejected(413, "request_too_large", message)


def _has_many(raw: bytes, mark: bytes) -> bool:
    """Whether it is worth counting, which looks at every byte by itself; a text is leapt through."""
    place = -1
    for _ in range(_MANY):
        place = raw.find(mark, place + 1)
        if place < 0:
            return False
    return True


def _rounded(value: Any, raw: bytes) -> bool:
    """Whether a number may have been too long for orjson: by the values, or by the text where it holds many."""
    waiting = [value]
    for item in waiting:
        if isinstance(item, float):
            if not -_ROUNDED < item < _ROUNDED:
                return True
        elif isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item[:_MANY])
        if len(waiting) >= _MANY:
            return _LONG in raw.translate(_DIGITS)
    return False
