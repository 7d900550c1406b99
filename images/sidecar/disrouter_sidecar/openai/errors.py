"""OpenAI's shapes: errors and the list of models."""

from __future__ import annotations

from typing import Any, Protocol

import orjson

from disrouter.errors import InvalidRequest
from disrouter.names import HEADER_DECISIONS, HEADER_HOPS, HEADER_PATH
from disrouter.routes import RouteTable
from disrouter_sidecar.errors import Rejected
from disrouter_sidecar.openai.dialect import data_event

JSON = "application/json"
_KINDS = {429: "rate_limit_error"}


def error_body(status: int, code: str | None, message: str, param: str | None = None) -> bytes:
    """`{"error": {...}}` as OpenAI's clients read it."""
    kind = _KINDS.get(status, "invalid_request_error" if status < 500 else "server_error")
    return orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})


class OpenAIErrors:
    """How a dialect with OpenAI's errors writes and knows them."""

    def error_body(self, status: int, code: str | None, message: str, param: str | None = None) -> bytes:
        """`{"error": {...}}`."""
        return error_body(status, code, message, param)

    def error_event(self, body: bytes, /) -> bytes:
        """The same, as the last event of a stream."""
        return data_event(body)

    def in_shape(self, value: Any, /) -> bool:
        """An object `error` with a `message`."""
        return has_error(value)


def has_error(value: Any) -> bool:
    """OpenAI's shape of an error, which Anthropic's holds too: an object `error` with a `message`."""
    error = value.get("error") if isinstance(value, dict) else None
    return isinstance(error, dict) and isinstance(error.get("message"), str)


class ErrorShape(Protocol):
    """Writes an error in an API's shape: `error_body`, or a dialect's own."""

    def __call__(self, status: int, code: str | None, message: str, param: str | None = None) -> bytes: ...


def rejection(error: Rejected | InvalidRequest, shape: ErrorShape = error_body) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body for an error that the sidecar itself answers with."""
    if isinstance(error, InvalidRequest):
        return 400, {"content-type": JSON}, shape(400, "invalid_request", str(error), error.param)
    headers = {"content-type": JSON}
    if error.status in (429, 503):
        headers["retry-after"] = str(error.retry_after)
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    if error.allow is not None:
        headers["allow"] = error.allow
    if error.path is not None:
        headers[HEADER_PATH] = ",".join(error.path)
        headers[HEADER_HOPS] = str(len(error.path))
    if error.decisions is not None:
        headers[HEADER_DECISIONS] = error.decisions
    return error.status, headers, shape(error.status, error.code, str(error), error.param)


def model_list(table: RouteTable, created: int) -> list[dict[str, Any]]:
    """The cascade and each of its agents, cheapest first; `created` is when this table was loaded, in Unix seconds."""
    return [{"id": name, "object": "model", "created": created, "owned_by": "disrouter"} for name in model_names(table)]


def model_names(table: RouteTable) -> list[str]:
    """`<cascade>`, then `<cascade>/<agent>` for each agent, cheapest first, then the aliases."""
    agents = sorted(table.agents, key=lambda name: (table.agents[name].cost, name))
    return [table.cascade, *(f"{table.cascade}/{agent}" for agent in agents), *sorted(table.aliases)]
