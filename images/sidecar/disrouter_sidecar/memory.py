"""The memory that all requests together may hold, so that none of them, nor many at once, ends the process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from disrouter_sidecar.errors import Rejected

Take = Callable[[int], None]
"""Claims that many bytes more for one request. Raises Rejected: 503 where others hold them, 413 where nobody does."""

REQUEST_BYTES = 256 * 1024 * 1024
"""For requests, read and parsed. With `REPLY_BYTES` and about 60 MiB of code it fits the container's 512 MiB."""
REPLY_BYTES = 96 * 1024 * 1024
"""For whole replies and undecided streams."""
_PER_BYTE = 18
"""Times that a text is held: raw, by the parser (12), as strings (up to 4 bytes a character), as the engine's body."""
_PER_MARK = {b"{": 80, b"[": 80, b":": 160, b'"': 40, b",": 40}
"""Bytes that Python takes for what each mark of JSON stands for: an object of one field (8 bytes of text) takes 360."""


class Memory:
    """A sum of bytes with a limit. Requests never wait for it: the client is told to come back."""

    def __init__(self, limit: int, what: str) -> None:
        self.used = 0
        self._limit = limit
        self._what = what

    @contextmanager
    def share(self) -> Iterator[Take]:
        """One request's share, given back at the end."""
        taken = 0

        def take(size: int) -> None:
            nonlocal taken
            if taken + size > self._limit:
                raise Rejected(413, "request_too_large", f"the {self._what} needs more memory than there is; send less")
            if self.used + size > self._limit:
                message = f"the memory for every {self._what} is in use by other requests; try again shortly"
                raise Rejected(503, "overloaded", message)
            self.used += size
            taken += size

        try:
            yield take
        finally:
            self.used -= taken


def parsed_size(raw: bytes) -> int:
    """Most bytes that a request with this body holds until it is answered, the body included."""
    return _PER_BYTE * len(raw) + sum(size * raw.count(mark) for mark, size in _PER_MARK.items())
