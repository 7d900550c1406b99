"""A question to an agent's new pods before anybody else asks them: are they ready in deed, not only by their probe?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class SmokeProbe:
    """Whom to ask: the new workload's name, its address, and the model name that pins the agent."""

    workload: str
    url: str
    model: str


Answers = Mapping[SmokeProbe, str | None]
"""What was wrong with the answer, None if nothing was. A probe that is not in it has no answer yet."""
Smoke = Callable[[SmokeProbe], Awaitable[str | None]]
"""Asks; None if the answer is good, else what was wrong with it. Does not raise."""
