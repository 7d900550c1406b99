"""Heads that llhttp has passed, remembered: the next one that differs only where heads do vary is compared, not parsed.

Comparing bytes is safe because nothing is interpreted: whatever is not equal to a head that was accepted before, up to
values that are checked by themselves, goes to llhttp as ever.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Generic, TypeVar

Parsed = TypeVar("Parsed")

LENGTH = "content-length"
VARYING = frozenset((
    LENGTH, "authorization", "cookie", "date", "traceparent", "x-api-key", "x-disrouter-deadline",
    "x-disrouter-decisions", "x-disrouter-refused-usage", "x-request-id",
))  # fmt: skip
"""Headers whose values differ from one request to the next, one client to the next or one second to the next. Values
of these are not remembered, so no secret is."""
MAX_HEAD_BYTES = 2 * 1024
"""A longer head is not remembered: strangers send heads too."""
MAX_HEADS = 128
_NAMES = {name.encode(): name for name in VARYING}
_LONGEST = 1024
"""Bytes of a value that varies."""
_MAX_DIGITS = 9
_END = b"\r\n\r\n"
_VALUES = (rb"([!-~][ -~]{0,%d}+(?<! ))" % (_LONGEST - 2), rb"(\d{1,%d})" % _MAX_DIGITS)
"""Any other value than a length: visible ASCII, in which nothing is trimmed or decoded; and a length."""
_PATTERNS = tuple(map(re.compile, _VALUES))
_HITS = 16
"""Times that a head is met before it is worth a pattern, which takes as long to make as many heads to compare."""


Hole = tuple[bytes, str]
"""What stands before a value that varies, and the name of its header."""


Match = tuple[int, Mapping[str, str]]
"""Of a message whose head is known: the head's size, behind which the body begins, and the headers that vary, but for
the length."""


def lasting(headers: Mapping[str, str]) -> dict[str, str]:
    """Those that do not vary."""
    return {name: value for name, value in headers.items() if name not in VARYING}


class KnownHead(Generic[Parsed]):
    """One head, and what it was parsed into."""

    __slots__ = ("_end", "_hits", "_holes", "_pattern", "parsed")

    def __init__(self, holes: tuple[Hole, ...], end: bytes, parsed: Parsed) -> None:
        self._holes = [(before, len(before), name) for before, name in holes]
        self._end = end
        self._hits = 0
        self._pattern: re.Pattern[bytes] | None = None
        self.parsed = parsed

    def match(self, data: bytes) -> Match | None:
        """Whether `data` is one whole message with this head, up to values that vary."""
        pattern = self._pattern
        if pattern is None:
            return self._compare(data)
        found = pattern.match(data)
        if found is None:
            return None
        length, values = 0, {}
        for (_, _, name), value in zip(self._holes, found.groups(), strict=True):
            if name is LENGTH:
                length = int(value)
            else:
                values[name] = value.decode("latin-1")
        body = found.end()
        return (body, values) if body + length == len(data) else None

    def _compare(self, data: bytes) -> Match | None:
        """The same without a pattern, for a head that may never come again."""
        place, length = 0, 0
        values: dict[str, str] = {}
        for before, size, name in self._holes:
            start = place + size
            place = data.find(b"\r", start, start + _LONGEST)
            value = data[start:place]
            if place < 0 or not data.startswith(before, start - size) or not _PATTERNS[name is LENGTH].fullmatch(value):
                return None
            if name is LENGTH:
                length = int(value)
            else:
                values[name] = value.decode("latin-1")
        body = place + len(self._end)
        if not data.startswith(self._end, place) or body + length != len(data):
            return None
        self._met()
        return body, values

    def _met(self) -> None:
        self._hits += 1
        if self._hits == _HITS:
            parts = [re.escape(before) + _VALUES[name is LENGTH] for before, _, name in self._holes]
            self._pattern = re.compile(b"".join((*parts, re.escape(self._end))))


class HeadMemory(Generic[Parsed]):
    """The heads that all connections of one kind have seen; when it is full it begins anew."""

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[Hole, ...], bytes], KnownHead[Parsed]] = {}
        self.latest: KnownHead[Parsed] | None = None
        """The one that was learned or met again last: a new connection's may well be like it."""

    def learn(self, head: bytes, parsed: Parsed) -> KnownHead[Parsed] | None:
        """Remember a head that llhttp has passed, without the headers that vary in `parsed`; None for an odd one."""
        if len(head) > MAX_HEAD_BYTES or not head.endswith(_END):
            return None
        found = _holes_of(head)
        names = [name for _, name in found[0]]
        if len(set(names)) < len(names):
            return None
        known = self._known.get(found)
        if known is None:
            if len(self._known) >= MAX_HEADS:
                self._known.clear()
            known = self._known[found] = KnownHead(*found, parsed)
        self.latest = known
        return known


def _holes_of(head: bytes) -> tuple[tuple[Hole, ...], bytes]:
    """Where values vary, and what stands behind the last of them."""
    holes: list[Hole] = []
    literal, *rest = head[: -len(_END)].split(b"\r\n")
    for each in rest:
        before, colon, value = each.partition(b":")
        name = _NAMES.get(before.lower())
        if name is None:
            literal += b"\r\n" + each
        else:
            blank = value[: len(value) - len(value.lstrip(b" \t"))]
            holes.append((literal + b"\r\n" + before + colon + blank, name))
            literal = b""
    return tuple(holes), literal + _END
