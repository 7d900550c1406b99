"""One pass over one cascade: read, plan, execute, one status write."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from disrouter.api import CascadeStatus
from disrouter_operator import events, status
from disrouter_operator.errors import KubeError
from disrouter_operator.kube import Kube
from disrouter_operator.observe import Observed, observe, owner_uid
from disrouter_operator.plan import Plan, make_plan
from disrouter_operator.resources import INFERENCE_SERVICES, Object, resource_of
from disrouter_operator.settings import Settings

Clock = Callable[[], datetime]
"""Now, with a time zone."""

REFUSED_RETRY_SECONDS = 10.0
"""What refused a child (a webhook, a quota, a name that is taken) may change without waking us."""
_FINAL = frozenset({400, 403, 404, 409, 422})
"""Answers about the object itself; anything else is about the API server and ends the pass."""

logger = logging.getLogger(__name__)


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
    observed = await observe(kube, key.namespace, key.name)
    if observed is None:
        return None
    now = clock()
    plan = make_plan(observed, settings, now)
    refusals = await _apply(kube, plan, observed)
    if not refusals:
        await _delete(kube, plan, key.namespace)
    before, after = status.read(observed.parent), plan.status
    if refusals:
        after = status.with_refusals(after, refusals, before, now)
    await _write_status(kube, observed.parent, after)
    await _note(kube, observed.parent, [*plan.repairs, *events.transitions(before, after)], now)
    waits = [plan.requeue_after, REFUSED_RETRY_SECONDS if refusals else None]
    soonest = min((wait for wait in waits if wait is not None), default=None)
    return None if soonest is None else Requeue(soonest)


async def _apply(kube: Kube, plan: Plan, observed: Observed) -> list[str]:
    """Write what is not as wanted. One refused child does not keep the others from being written."""
    refusals = []
    for obj in plan.applies:
        try:
            await _check_owner(kube, obj, observed)
            await kube.apply(obj)
        except KubeError as error:
            if error.status not in _FINAL:
                raise
            refusals.append(_refusal(obj, error))
    return refusals


async def _check_owner(kube: Kube, obj: Object, observed: Observed) -> None:
    """An object of that name that is not this cascade's is never taken over."""
    resource, name = resource_of(obj), obj["metadata"]["name"]
    live = observed.find(resource, name) or await kube.get(resource, obj["metadata"]["namespace"], name)
    if live is None:
        return
    if owner_uid(live) != observed.parent["metadata"]["uid"]:
        raise KubeError("an object of that name exists and is not this cascade's; rename the agent or the object", 409)


def _refusal(obj: Object, error: KubeError) -> str:
    hint = ""
    if error.status == 404 and resource_of(obj) is INFERENCE_SERVICES:
        hint = " (is KServe installed?)"
    return f"{obj['kind']} {obj['metadata']['name']}: {error}{hint}"


async def _delete(kube: Kube, plan: Plan, namespace: str) -> None:
    for deletion in plan.deletes:
        await kube.delete(deletion.resource, namespace, deletion.name, uid=deletion.uid)


async def _write_status(kube: Kube, parent: Object, after: CascadeStatus) -> None:
    dumped = after.dump()
    if dumped != (parent.get("status") or {}):
        await kube.patch_status({**parent, "status": dumped})


async def _note(kube: Kube, parent: Object, notes: Sequence[events.Note], now: datetime) -> None:
    """Events are for people; failing to write one must not fail the pass."""
    for note in notes:
        try:
            await kube.create(events.manifest(parent, note, now))
        except KubeError as error:
            logger.warning("event %s of %s is lost: %s", note.reason, parent["metadata"]["name"], error)
