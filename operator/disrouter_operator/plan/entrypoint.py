"""Where requests enter: the first agent of the route that serves, with patience on the way back.

The entry leaves an agent at once when none of its pods serves. It returns to a cheaper one only when that has served
for a while, so that an engine that comes and goes does not take the requests with it. Where the entry is now stands in
the cascade's Service, since when an agent serves in its pods. Where they do not say it, or their node's clock is ahead,
it is counted from when a reconcile first saw the agent serve.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

SETTLED_SECONDS = 5.0
"""How long an agent must have served without a break before requests enter there again."""
RESOLUTION = 1.0
"""Conditions say the second in which they turned; the patience begins after it."""

Serving = Mapping[str, datetime]
"""The agents that answer, and since when each has."""


@dataclass(frozen=True)
class Entrypoint:
    """Where requests enter now."""

    agent: str
    returning: str | None = None
    """A cheaper agent that serves, and where they will enter."""
    again: float | None = None
    """Seconds until they do."""


def since(said: datetime | None, seen: datetime | None, now: datetime) -> datetime:
    """Since when an agent serves: as its pods have `said`, else since it was first `seen` to, else since now.

    Of a moment to come nothing can be learned. It neither holds up the entry nor lets it return at once.
    """
    return next((each for each in (said, seen) if each is not None and each <= now), now)


def choose(route: Sequence[str], serving: Serving, current: str | None, now: datetime) -> Entrypoint:
    """The entry of a `route`, which has at least one agent; `current` is where requests enter until now.

    Where the current one does not serve, one that has served for long goes before a cheaper one that has just come.
    """
    waits = {name: 0.0 if name == current else _wait(serving[name], now) for name in route if name in serving}
    settled = next((name for name, wait in waits.items() if wait <= 0), None)
    agent = settled or next(iter(waits), route[0])
    returning = next((name for name in waits if route.index(name) < route.index(agent)), None)
    return Entrypoint(agent, returning, waits[returning] if returning is not None else None)


def _wait(since: datetime, now: datetime) -> float:
    """Seconds until an agent has served for long enough."""
    return max(0.0, SETTLED_SECONDS + RESOLUTION - (now - since).total_seconds())
