"""One pass over one cascade: read, plan, execute, one status write."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from disrouter.api import CascadeStatus
from disrouter_operator import events, status
from disrouter_operator.convergence import Convergence
from disrouter_operator.errors import InternalError, KubeError
from disrouter_operator.kube import Kube
from disrouter_operator.observe import Observed, observe
from disrouter_operator.plan import Plan, make_plan
from disrouter_operator.resources import Object
from disrouter_operator.settings import Settings
from disrouter_operator.writes import apply_all

Clock = Callable[[], datetime]
"""Now, with a time zone."""

MAX_ERROR = 500
"""Characters of an unforeseen error in the status."""

logger = logging.getLogger(__name__)


class Key(NamedTuple):
    """Identity of a cascade."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Requeue:
    """Nothing will wake the cascade at the time it needs; look again after so many seconds."""

    after: float


async def reconcile(
    kube: Kube, key: Key, settings: Settings, clock: Clock, convergence: Convergence | None = None
) -> Requeue | None:
    """Bring the cluster one step closer to the cascade `key`; idempotent.

    `convergence` is the caller's memory between passes; without one, nothing is held back. Raises KubeError or
    InternalError: call again later.
    """
    observed = await observe(kube, key.namespace, key.name)
    if observed is None:
        return None
    now = clock()
    plan = await _decide(kube, observed, settings, now)
    outcome = await apply_all(kube, plan.applies, observed, convergence or Convergence(), now)
    if outcome.traffic_moved:
        await _delete(kube, plan, key.namespace)
    before = status.read(observed.parent)
    after = status.with_writes(plan.status, outcome.refused, outcome.unkept, before, now)
    await _conclude(kube, observed.parent, after, outcome.repaired, now)
    waits = [*outcome.waits, *([plan.requeue_after] if plan.requeue_after is not None else [])]
    return Requeue(min(waits)) if waits else None


async def _decide(kube: Kube, observed: Observed, settings: Settings, now: datetime) -> Plan:
    """Plan. Raises InternalError on what nobody foresaw, after saying so where the cascade's owner looks."""
    try:
        return make_plan(observed, settings, now)
    except Exception as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())[:MAX_ERROR]
        before, generation = status.read(observed.parent), observed.parent["metadata"].get("generation", 0)
        after = status.of_internal_error(what, before, generation, now)
        if after != before:  # the retries say the same
            logger.exception("planning %s failed", observed.parent["metadata"]["name"])
        await _conclude(kube, observed.parent, after, [], now)
        raise InternalError(what) from error


async def _delete(kube: Kube, plan: Plan, namespace: str) -> None:
    for deletion in plan.deletes:
        await kube.delete(deletion.resource, namespace, deletion.name, uid=deletion.uid)


async def _conclude(
    kube: Kube, parent: Object, after: CascadeStatus, repaired: Sequence[events.Note], now: datetime
) -> None:
    """The one status write, and the Events of what changed."""
    dumped = after.dump()
    if dumped != (parent.get("status") or {}):
        await kube.patch_status({**parent, "status": dumped})
    await _note(kube, parent, [*repaired, *events.transitions(status.read(parent), after)], now)


async def _note(kube: Kube, parent: Object, notes: Sequence[events.Note], now: datetime) -> None:
    """Events are for people; failing to write one must not fail the pass."""
    for note in notes:
        try:
            await kube.create(events.manifest(parent, note, now))
        except KubeError as error:
            logger.warning("event %s of %s is lost: %s", note.reason, parent["metadata"]["name"], error)
