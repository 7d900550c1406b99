"""Errors of engines and external providers, in the shape that the client's API reads."""

from __future__ import annotations

from typing import Any

import orjson

from disrouter_sidecar.openai.dialect import Dialect

MAX_TEXT = 2000
"""Characters of a message in an unknown shape that the client gets."""
_MESSAGES = ("message", "msg", "detail", "error", "errors", "error_message", "error_description", "reason", "title")


def error_in_shape(status: int, body: bytes, dialect: Dialect) -> bytes:
    """The body of an error as the client gets it: untouched where it has the API's shape, else put into it.

    Known: OpenAI's and Anthropic's, a list around the error (Gemini), `detail` and its list of fields (FastAPI),
    `message` (gateways), a bare `error`, and plain text.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return dialect.error_body(status, "upstream_error", _plain(status, body))
    if dialect.in_shape(value):
        return body
    if isinstance(value, list) and value and dialect.in_shape(value[0]):
        return orjson.dumps(value[0])
    error = value.get("error") if isinstance(value, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    text = _text(value) or _unreadable(status)
    return dialect.error_body(status, code if isinstance(code, str) else "upstream_error", text)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        for key in _MESSAGES:
            if value.get(key):
                return (_place(value.get("loc")) + _text(value[key]))[:MAX_TEXT]
        return ""
    if isinstance(value, list):
        return "; ".join(text for item in value[:5] if (text := _text(item)))[:MAX_TEXT]
    return value[:MAX_TEXT] if isinstance(value, str) else ""


def _place(loc: Any) -> str:
    """Which field FastAPI means."""
    return ".".join(map(str, loc)) + ": " if isinstance(loc, list) and loc else ""


def _plain(status: int, body: bytes) -> str:
    text = body[: 4 * MAX_TEXT].decode(errors="replace").strip()
    return text[:MAX_TEXT] if text and not text.startswith("<") else _unreadable(status)


def _unreadable(status: int) -> str:
    return f"the agent's engine answered with status {status} and no readable message"
