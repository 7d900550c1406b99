"""When agents were first seen to serve, or to wake, where their pods cannot say it.

In memory alone: a new process begins anew.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from disrouter_operator.kube.resources import Key


class FirstSeen:
    """By cascade and agent: the first of the reconciles that have all seen it so."""

    def __init__(self) -> None:
        self._seen: dict[Key, dict[str, datetime]] = {}

    def of(self, key: Key) -> Mapping[str, datetime]:
        """What is known of a cascade's agents."""
        return self._seen.get(key, {})

    def note(self, key: Key, agents: Collection[str], now: datetime) -> None:
        """These agents, and no others, are so now. Where our own clock was set back, a moment to come is now."""
        known = self.of(key)
        self._seen[key] = {agent: min(known.get(agent, now), now) for agent in agents}

    def forget(self, key: Key) -> None:
        """The cascade is gone."""
        self._seen.pop(key, None)
