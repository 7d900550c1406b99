"""JSON as engines write it: NaN and Infinity, lone surrogates, a byte order mark and broken UTF-8 are read too."""

from __future__ import annotations

import json
from typing import Any

import orjson


def loads(text: bytes) -> Any:
    """The value. Raises ValueError where it is no JSON by any reading."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(text.decode("utf-8-sig", errors="replace"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def object_in(value: Any) -> dict[str, Any]:
    """The object that a value is, or the first of a list (Gemini's errors); empty where it is neither."""
    if isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, dict) else {}
