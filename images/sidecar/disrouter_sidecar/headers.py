"""Header lines: the form in which policy and HTTP exchange headers, so that shared lines are made once."""

from __future__ import annotations

from collections.abc import Mapping

Headers = Mapping[str, str]
"""Lower-case names."""
Lines = str
"""`name: value` for each header, each ended by CRLF."""


def lines(headers: Headers) -> Lines:
    """Raises ValueError where a line break inside a value would start another header."""
    text = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if text.count("\n") != len(headers) or text.count("\r") != len(headers):
        raise ValueError("a header holds a line break")
    return text
