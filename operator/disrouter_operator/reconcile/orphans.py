"""What a former cascade of the same name left behind, under names that its successor needs.

The garbage collector knows owners by uid, but hears of them through informers that know objects by name: a cascade that
is deleted and made anew while its watch is interrupted (an API server that restarts) looks like one that changed, and
what the former one owned stays for ever. The name is live with another uid, so that owner is certainly gone.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace

from disrouter_operator.kube.client import Kube
from disrouter_operator.kube.observed import Observed
from disrouter_operator.kube.resources import CASCADES, Object, resource_of

logger = logging.getLogger(__name__)


def find(observed: Observed) -> list[Object]:
    """Children of a cascade with this one's name and another uid, except what is on its way out already."""
    return [
        obj
        for children in observed.children.values()
        for obj in children.values()
        if _of_a_former(obj, observed.parent) and not obj["metadata"].get("deletionTimestamp")
    ]


async def clear(kube: Kube, observed: Observed) -> Observed:
    """Delete them, as the garbage collector should have done; returns what is then there. Raises KubeError."""
    found = find(observed)
    for obj in found:
        metadata = obj["metadata"]
        await kube.delete(resource_of(obj), metadata["namespace"], metadata["name"], uid=metadata["uid"])
        what = (
            f"{metadata['namespace']}/{observed.parent['metadata']['name']}: deleted {obj['kind']} {metadata['name']}"
        )
        logger.info("%s, left by a former cascade of that name", what)
    return _without(observed, {obj["metadata"]["uid"] for obj in found})


def _of_a_former(obj: Object, parent: Object) -> bool:
    owners = obj["metadata"].get("ownerReferences") or []
    owner = next((each for each in owners if each.get("controller")), None)
    if owner is None:
        return False
    group = str(owner.get("apiVersion", "")).partition("/")[0]
    former = (group, owner.get("kind"), owner.get("name")) == (
        CASCADES.group,
        CASCADES.kind,
        parent["metadata"]["name"],
    )
    return former and owner.get("uid") != parent["metadata"]["uid"]


def _without(observed: Observed, uids: Collection[str]) -> Observed:
    children = {
        resource: {name: obj for name, obj in each.items() if obj["metadata"]["uid"] not in uids}
        for resource, each in observed.children.items()
    }
    return replace(observed, children=children)
