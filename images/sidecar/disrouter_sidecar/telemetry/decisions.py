"""The latest requests by their ids, and what was decided about them: what their log lines say, for whoever asks why."""

from __future__ import annotations

import time
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any

Fields = dict[str, object]
"""Of a log line: names and numbers, never prompts, answers or keys."""


class DecisionMemory:
    """Bounded: the oldest requests give way. One id that comes again names the later request."""

    def __init__(self) -> None:
        self._of: OrderedDict[object, tuple[float, str, Fields]] = OrderedDict()
        """By request id: when it ended in Unix seconds, its API and its fields."""

    def remember(self, api: str, fields: Fields, kept: int) -> None:
        """A request has ended; `kept` are remembered, none if it is 0."""
        known, request_id = self._of, fields["request_id"]
        if request_id in known:
            known.move_to_end(request_id)
        known[request_id] = (time.time(), api, fields)
        while len(known) > kept:
            known.popitem(last=False)

    def find(self, request_id: str) -> dict[str, Any] | None:
        """What is known of a request: when it ended, and its log fields."""
        found = self._of.get(request_id)
        if found is None:
            return None
        ended, api, fields = found
        time_ended = datetime.fromtimestamp(ended, UTC).isoformat(timespec="milliseconds")
        return {"time": time_ended, "api": api, **fields}
