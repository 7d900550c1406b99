"""What a reply is, as far as it is known."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """Once it is not UNDECIDED it never changes."""

    UNDECIDED = "undecided"
    ANSWER = "answer"
    REFUSE = "refuse"
    EMPTY = "empty"
    """It ended well and says nothing: no agent answers so, it has failed."""
    UNFINISHED = "unfinished"
    """Its token limit or a stop string ended it before it said anything."""
    FAILED = "failed"
    """It is an error under a status of success."""
    UNDECIDABLE = "undecidable"
    """It cannot be read."""


UNDECIDED, ANSWER, REFUSE, EMPTY, UNFINISHED, FAILED, UNDECIDABLE = Verdict
"""By name, for what runs with every piece of a stream (see `http.server.site.Phase`)."""
