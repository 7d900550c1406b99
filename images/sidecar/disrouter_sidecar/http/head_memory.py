"""Heads that llhttp has passed, remembered: the next one that differs only where heads do vary is compared, not parsed.

Comparing bytes is safe because nothing is interpreted: whatever is not equal to a head that was accepted before, up to
values that are checked by themselves, goes to llhttp as ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

Parsed = TypeVar("Parsed")

LENGTH = "content-length"
VARYING = frozenset((
    LENGTH, "authorization", "cookie", "date", "traceparent", "x-api-key", "x-disrouter-deadline", "x-request-id",
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
_NO_VALUES: Mapping[str, str] = {}


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

    __slots__ = ("_end", "_holes", "parsed")

    def __init__(self, holes: tuple[Hole, ...], end: bytes, parsed: Parsed) -> None:
        self._holes = [(before, len(before), name) for before, name in holes]
        self._end = end
        self.parsed = parsed

    def match(self, data: bytes) -> Match | None:
        """Whether `data` is one whole message with this head, up to values that vary."""
        place, length = 0, 0
        values: dict[str, str] | None = None
        for before, size, name in self._holes:
            if not data.startswith(before, place):
                return None
            start = place + size
            place = data.find(b"\r", start, start + _LONGEST)
            if place <= start:
                return None
            value = data[start:place]
            if name is LENGTH:
                if not value.isdigit() or len(value) > _MAX_DIGITS:
                    return None
                length = int(value)
                continue
            text = value.decode("latin-1")
            if not (text.isascii() and text.isprintable()) or text[0] == " " or text[-1] == " ":
                return None  # not visible ASCII, in which nothing is trimmed or decoded
            if values is None:
                values = {name: text}
            else:
                values[name] = text
        body = place + len(self._end)
        if not data.startswith(self._end, place) or body + length != len(data):
            return None
        return body, values or _NO_VALUES


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
