"""The latest requests by their ids, and what was decided about them: their log lines, for whoever asks why."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any


class DecisionMemory:
    """Bounded: the oldest requests give way. One id that comes again names the later request.

    Lines are kept as they were written, which is a fifth of what their objects would take.
    """

    def __init__(self) -> None:
        self._line_of: OrderedDict[str, bytes] = OrderedDict()

    def remember(self, request_id: str, line: bytes, kept: int) -> None:
        """A request has ended; `kept` are remembered, none if it is 0."""
        known = self._line_of
        if request_id in known:
            known.move_to_end(request_id)
        known[request_id] = line
        while len(known) > kept:
            known.popitem(last=False)

    def find(self, request_id: str) -> dict[str, Any] | None:
        """What is known of a request: when it ended, its API and its log fields."""
        line = self._line_of.get(request_id)
        if line is None:
            return None
        found = json.loads(line)
        return {"time": found.pop("time"), "api": found.pop("message")} | {
            name: value for name, value in found.items() if name != "level"
        }
