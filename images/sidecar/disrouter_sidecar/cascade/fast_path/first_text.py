"""The first text of the user, cut out of a chat's body as it stands there, so that the rest can be read without it."""

from __future__ import annotations

import os

MARK = os.urandom(16).hex()
"""Stands for the text in the rest. Nobody outside this process can write it."""
_MARK = MARK.encode()
_OPENS = (b'"role":"user","content":"', b'"role": "user", "content": "')
"""As nearly every client writes a message."""
_WITHIN = 64 * 1024
"""Bytes of a body in which the text must begin."""
_MOST_QUOTES = 64
"""Quotes in a text that are looked at, and backslashes before one: where there are more, parsing it takes less."""
_QUOTE, _BACKSLASH = b'"', ord("\\")


def find_text(data: bytes, body: int = 0) -> tuple[int, int] | None:
    """Where it begins and ends, escapes and all, in a body that begins at `body`; None where it is not found.

    It is what JSON takes for a string, if it is valid: no quote in it ends one. What it is a part of only the parsed
    rest can tell.
    """
    for opens in _OPENS:
        place = data.find(opens, body, body + _WITHIN)
        if place >= 0:
            start = place + len(opens)
            end = _end_of(data, start)
            return None if end < 0 else (start, end)
    return None


def _end_of(data: bytes, start: int) -> int:
    """The quote that ends a string: the first behind an even number of backslashes."""
    place = start
    for _ in range(_MOST_QUOTES):
        end = data.find(_QUOTE, place)
        if end < 0:
            return -1
        behind, least = end, max(start, end - _MOST_QUOTES)
        while behind > least and data[behind - 1] == _BACKSLASH:
            behind -= 1
        if behind == least > start:
            return -1
        if (end - behind) % 2 == 0:
            return end
        place = end + 1
    return -1


def marked(before: bytes, after: bytes) -> bytes:
    """The rest of a body, with the mark in the text's place."""
    return before + _MARK + after


def parted(body: bytes) -> tuple[bytes, bytes] | None:
    """What stands before and behind the mark in a body that was made of a marked one; None unless it is there once."""
    before, mark, after = body.partition(_MARK)
    return None if not mark or _MARK in after else (before, after)
