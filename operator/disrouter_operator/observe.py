"""What is: the parent and its children, read afresh each pass. Watches only wake a pass; nothing here is cached."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from disrouter import names
from disrouter_operator.errors import KubeError
from disrouter_operator.kube import Kube
from disrouter_operator.resources import (
    CASCADES,
    CONFIG_MAPS,
    DEPLOYMENTS,
    INFERENCE_SERVICES,
    JOBS,
    NETWORK_POLICIES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    SERVICES,
    TRAIN_JOBS,
    Object,
    Resource,
)

CHILDREN = (
    *(INFERENCE_SERVICES, DEPLOYMENTS, SERVICES, CONFIG_MAPS, JOBS, TRAIN_JOBS, PODS),
    *(NETWORK_POLICIES, POD_DISRUPTION_BUDGETS),
)
"""Kinds that carry our labels: our children, and what KServe and the Job controller make of them."""

OPTIONAL = frozenset({INFERENCE_SERVICES, TRAIN_JOBS, POD_DISRUPTION_BUDGETS})
"""Kinds that a cluster may lack: KServe and Kubeflow may be installed later; a laptop has no budgets."""

DISPENSABLE = frozenset({TRAIN_JOBS})
"""Kinds that a role may lack: only those are concerned who ask for them."""
NOT_FOUND, FORBIDDEN = 404, 403


@dataclass(frozen=True)
class Observed:
    """One consistent-enough look: each kind by name."""

    parent: Object
    children: Mapping[Resource, Mapping[str, Object]]
    absent: frozenset[Resource] = frozenset()
    """Kinds that the API server does not know."""
    unreadable: frozenset[Resource] = frozenset()
    """Optional kinds that this operator may not list: taken for absent, and said."""

    def find(self, resource: Resource, name: str) -> Object | None:
        """A child by name, None if there is none."""
        return self.children[resource].get(name)

    def owned(self, resource: Resource) -> list[Object]:
        """Children of a kind that this cascade itself created, not what KServe derived from them."""
        uid = self.parent["metadata"]["uid"]
        return [obj for obj in self.children[resource].values() if owner_uid(obj) == uid]


def label(obj: Object, name: str) -> str | None:
    """A label's value."""
    value = (obj["metadata"].get("labels") or {}).get(name)
    return None if value is None else str(value)


def owner_uid(obj: Object) -> str | None:
    """Uid of the controller that owns an object."""
    references = obj["metadata"].get("ownerReferences") or []
    return next((str(each["uid"]) for each in references if each.get("controller")), None)


async def observe(kube: Kube, namespace: str, name: str) -> Observed | None:
    """Read a cascade and its children; None if the cascade is gone or on its way out."""
    parent = await kube.get(CASCADES, namespace, name)
    if parent is None or parent["metadata"].get("deletionTimestamp"):
        return None
    labels = {names.LABEL_CASCADE: name}
    lists = await asyncio.gather(*(_list(kube, resource, namespace, labels) for resource in CHILDREN))
    found = dict(zip(CHILDREN, lists, strict=True))
    children = {
        resource: {obj["metadata"]["name"]: obj for obj in (() if isinstance(each, int) else each)}
        for resource, each in found.items()
    }
    absent = frozenset(resource for resource, each in found.items() if each == NOT_FOUND)
    return Observed(parent, children, absent, frozenset(kind for kind, each in found.items() if each == FORBIDDEN))


async def _list(kube: Kube, resource: Resource, namespace: str, labels: Mapping[str, str]) -> list[Object] | int:
    """Of an optional kind, the status by which the API server says that it does not know it, or may not show it."""
    try:
        return await kube.list(resource, namespace, labels)
    except KubeError as error:
        if resource in OPTIONAL and error.status == NOT_FOUND:
            return NOT_FOUND
        if resource in DISPENSABLE and error.status == FORBIDDEN:
            return FORBIDDEN
        raise
