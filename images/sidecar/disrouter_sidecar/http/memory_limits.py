"""The memory that all requests together may hold, so that none of them, nor many at once, ends the process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Self

from disrouter_sidecar.errors import Rejected

Take = Callable[[int], None]
"""Claims that many bytes more for one request. Raises Rejected: 503 where others hold them, 413 where nobody does."""

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
"""Bytes that tell whether a body is text or made of marks."""


class Memory:
    """A sum of bytes with a limit. Requests never wait for it: the client is told to come back."""

    def __init__(self, limit: int, what: str) -> None:
        self.used = 0
        self.limit = limit
        self._what = what

    def share(self) -> Share:
        """One request's share, to be given back at the end."""
        return Share(self)

    def refusal(self, taken: int, size: int) -> Rejected:
        """Why a share that has `taken` some already does not get `size` bytes more."""
        if taken + size > self.limit:
            return Rejected(413, "request_too_large", f"the {self._what} needs more memory than there is; send less")
        message = f"the memory for every {self._what} is in use by other requests; try again shortly"
        return Rejected(503, "overloaded", message)


class Share:
    """What one request has claimed: call it to claim more, leave the `with` block or `close` it to give all back."""

    __slots__ = ("_memory", "_taken")

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._taken = 0

    def __call__(self, size: int) -> None:
        memory = self._memory
        if memory.used + size > memory.limit:
            raise memory.refusal(self._taken, size)
        memory.used += size
        self._taken += size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back; closing again does nothing."""
        self._memory.used -= self._taken
        self._taken = 0


def parsed_size(raw: bytes) -> int:
    """Most bytes that a request with this body holds until it is answered, the body included."""
    size = len(raw)
    if size <= _SMALL:
        return (_PER_BYTE + _DEAREST) * size
    rare = size > _SAMPLE and len(raw[:_SAMPLE].translate(None, _MARKS)) > _SAMPLE * 31 // 32
    count = partial(_count_rare, raw) if rare else raw.count
    return _PER_BYTE * size + sum([held * count(mark) for mark, held in _PER_MARK])


def _count_rare(raw: bytes, mark: bytes) -> int:
    """In long text, where the mark is rare, looking for the next and the next is much faster than counting."""
    count, place = 0, raw.find(mark)
    while place >= 0 and count < _FEW:
        count += 1
        place = raw.find(mark, place + 1)
    return count if place < 0 else raw.count(mark)
