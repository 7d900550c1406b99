"""One pass over one cascade: read, plan, execute, one status write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from disrouter_operator.kube import Kube
from disrouter_operator.settings import Settings

Clock = Callable[[], datetime]
"""Now, with a time zone."""


class Key(NamedTuple):
    """Identity of a cascade."""

    namespace: str
    name: str


@dataclass(frozen=True)
class Requeue:
    """Nothing will wake the cascade at the time it needs; look again after so many seconds."""

    after: float


async def reconcile(kube: Kube, key: Key, settings: Settings, clock: Clock) -> Requeue | None:
    """Bring the cluster one step closer to the cascade `key`; idempotent. Raises KubeError: call again later."""
    raise NotImplementedError
