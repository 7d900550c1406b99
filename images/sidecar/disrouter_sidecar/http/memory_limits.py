"""The memory that all requests together may hold, so that none of them, nor many at once, ends the process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Self

from disrouter_sidecar.errors import Rejected

ClaimBytes = Callable[[int], None]
"""Claims that many more bytes for one request. Raises Rejected: 503 where other requests hold them, else 413."""

REQUEST_BYTES = 256 * 1024 * 1024
"""For requests, read and parsed. With `REPLY_BYTES`, code and kept memory (90 MiB) it fits the 512 MiB of its pod."""
REPLY_BYTES = 96 * 1024 * 1024
"""For whole replies and undecided streams."""
_PER_BYTE = 18
"""Times that a text is held: raw, by the parser (12), as strings (up to 4 bytes a character), as the engine's body."""
_PER_MARK = ((b"{", 80), (b"[", 80), (b":", 160), (b'"', 40), (b",", 40))
"""Bytes that Python takes for what each mark of JSON stands for: an object of one field (8 bytes of text) takes 360."""
_MARKS, _DEAREST = b"".join(mark for mark, _ in _PER_MARK), max(held for _, held in _PER_MARK)
_SMALL = 512
"""Bytes of a body that is charged as if it were made of the dearest marks: counting them would cost more."""
_FEW = 64
_SAMPLE = 4096
"""First bytes of a body, which show whether it is text or made of marks."""


class MemoryLimit:
    """A sum of bytes with a limit. Requests never wait for it: the client gets 503 with Retry-After."""

    def __init__(self, limit: int, what: str) -> None:
        self.used = 0
        self.limit = limit
        self._what = what

    def claim(self) -> MemoryClaim:
        """One request's claim, to be released at the end."""
        return MemoryClaim(self)

    def rejection(self, claimed: int, size: int) -> Rejected:
        """Why a request that has claimed `claimed` bytes does not get `size` more."""
        if claimed + size > self.limit:
            return Rejected(413, "request_too_large", f"the {self._what} needs more memory than there is; send less")
        message = f"the memory for every {self._what} is in use by other requests; try again shortly"
        return Rejected(503, "overloaded", message)


class MemoryClaim:
    """What one request has claimed: call it to claim more; leave the `with` block or `close` it to release all."""

    __slots__ = ("_claimed", "_limit")

    def __init__(self, limit: MemoryLimit) -> None:
        self._limit = limit
        self._claimed = 0

    def __call__(self, size: int) -> None:
        limit = self._limit
        if limit.used + size > limit.limit:
            raise limit.rejection(self._claimed, size)
        limit.used += size
        self._claimed += size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release all; closing again does nothing."""
        self._limit.used -= self._claimed
        self._claimed = 0


def parsed_size(raw: bytes) -> int:
    """Most bytes that a request with this body holds until it is answered, the body included."""
    size = len(raw)
    if size <= _SMALL:
        return (_PER_BYTE + _DEAREST) * size
    rare = size > _SAMPLE and len(raw[:_SAMPLE].translate(None, _MARKS)) > _SAMPLE * 31 // 32
    count = partial(_count_rare, raw) if rare else raw.count
    return _PER_BYTE * size + sum([held * count(mark) for mark, held in _PER_MARK])


def text_size(size: int) -> int:
    """The same of a text of that many bytes, whose marks stand for nothing."""
    return _PER_BYTE * size


def _count_rare(raw: bytes, mark: bytes) -> int:
    """In long text, where the mark is rare, looking for the next and the next is much faster than counting."""
    count, place = 0, raw.find(mark)
    while place >= 0 and count < _FEW:
        count += 1
        place = raw.find(mark, place + 1)
    return count if place < 0 else raw.count(mark)
