"""Garbage collection for the on-disk store: what has lost all its owners goes, and so do old Events."""

from __future__ import annotations

from disrouter_local.objects import is_deleting, key_of, uid_of
from disrouter_operator.kube.client import Kube
from disrouter_operator.kube.resources import EVENTS, KNOWN, Object

MAX_EVENTS = 300


async def collect(kube: Kube) -> None:
    """Delete dependents whose owners are gone; the next reconcile finds those who depended on them."""
    kinds = {kind: await kube.list(kind, None) for kind in KNOWN if kind != EVENTS}
    alive = {uid_of(obj) for objects in kinds.values() for obj in objects}
    for kind, objects in kinds.items():
        for obj in objects:
            if is_orphan(obj, alive) and not is_deleting(obj):
                await kube.delete(kind, *key_of(obj), uid=uid_of(obj))
    events = await kube.list(EVENTS, None)
    events.sort(key=lambda event: int(event["metadata"]["resourceVersion"]))
    for event in events[:-MAX_EVENTS]:
        await kube.delete(EVENTS, *key_of(event))


def is_orphan(obj: Object, alive: set[str]) -> bool:
    """Whether an object had owners and none of them is left."""
    owners = [str(item["uid"]) for item in obj["metadata"].get("ownerReferences") or []]
    return bool(owners) and not alive.intersection(owners)
