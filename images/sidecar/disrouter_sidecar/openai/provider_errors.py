"""Errors of engines and external providers, in the shape that OpenAI's clients read."""

from __future__ import annotations

from typing import Any

import orjson

from disrouter_sidecar.openai.errors import error_body

MAX_TEXT = 500
"""Characters of a message in an unknown shape that the client gets."""
_MESSAGES = ("message", "detail", "error", "error_description", "title")


def error_in_shape(status: int, body: bytes) -> bytes:
    """The body of an error as the client gets it: untouched where it has OpenAI's shape, else put into it.

    Known: a list around the error (Gemini), `detail` (FastAPI), `message` (gateways), a bare `error`, and plain text.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return error_body(status, "upstream_error", _plain(status, body))
    if _in_shape(value):
        return body
    if isinstance(value, list) and value and _in_shape(value[0]):
        return orjson.dumps(value[0])
    return error_body(status, "upstream_error", _text(value) or _unreadable(status))


def _in_shape(value: Any) -> bool:
    error = value.get("error") if isinstance(value, dict) else None
    return isinstance(error, dict) and isinstance(error.get("message"), str)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        for key in _MESSAGES:
            if value.get(key):
                return _text(value[key])
        return ""
    if isinstance(value, list):
        return "; ".join(text for item in value[:5] if (text := _text(item)))[:MAX_TEXT]
    return value[:MAX_TEXT] if isinstance(value, str) else ""


def _plain(status: int, body: bytes) -> str:
    text = body[: 4 * MAX_TEXT].decode(errors="replace").strip()
    return text[:MAX_TEXT] if text and not text.startswith("<") else _unreadable(status)


def _unreadable(status: int) -> str:
    return f"the agent's engine answered with status {status} and no readable message"
