"""Reads the cascade and its children afresh for each reconcile."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from disrouter import names
from disrouter_operator.errors import FORBIDDEN, NOT_FOUND, KubeError
from disrouter_operator.kube.client import Kube
from disrouter_operator.kube.observed import CHILDREN, DISPENSABLE, OPTIONAL, Observed, is_terminating
from disrouter_operator.kube.resources import CASCADES, Key, Object, Resource
from disrouter_operator.reconcile import referred_services
from disrouter_operator.reconcile.listed_kinds import ListedKinds


async def observe(kube: Kube, key: Key, listed: ListedKinds) -> Observed | None:
    """Read a cascade, its children and what it refers to; None if the cascade is gone or on its way out.

    `listed` knows which kinds are worth a list.
    """
    namespace, name = key
    parent = await kube.get(CASCADES, namespace, name)
    if parent is None or is_terminating(parent):
        return None
    labels, kinds = {names.LABEL_CASCADE: name}, listed.of(key, parent)
    lists = await asyncio.gather(*(_list(kube, resource, namespace, labels) for resource in kinds))
    found = dict(zip(kinds, lists, strict=True))
    children: dict[Resource, dict[str, Object]] = {resource: {} for resource in CHILDREN}
    children |= {
        resource: {obj["metadata"]["name"]: obj for obj in (() if isinstance(each, int) else each)}
        for resource, each in found.items()
    }
    listed.read(key, parent, {resource for resource, each in children.items() if each})
    absent = frozenset(resource for resource, each in found.items() if each == NOT_FOUND) | (listed.absent() & OPTIONAL)
    forbidden = frozenset(kind for kind, each in found.items() if each == FORBIDDEN)
    wanted = referred_services.keys(parent.get("spec"))
    services, refusals = await referred_services.read(kube, namespace, wanted, absent)
    return Observed(parent, children, absent, forbidden, services=services, refusals=refusals)


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
