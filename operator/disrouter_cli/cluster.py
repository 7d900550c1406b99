"""What commands ask the store for: cascades by name, and how they are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from disrouter_cli.errors import NotFound
from disrouter_operator.kube.resources import CASCADES, Object

if TYPE_CHECKING:
    from disrouter_local.store.store import Store


def cascades(store: Store) -> list[Object]:
    """Every cascade."""
    return asyncio.run(store.list(CASCADES, None))


def find(store: Store, name: str | None, namespace: str) -> Object:
    """The cascade of that name, or the only one. Raises NotFound that says which there are."""
    found = cascades(store)
    known = ", ".join(str(item["metadata"]["name"]) for item in found) or "none; apply one"
    if name is None:
        if len(found) == 1:
            return found[0]
        raise NotFound(f"name the cascade; there are: {known}" if found else "there is no cascade; apply one")
    for item in found:
        if (item["metadata"]["name"], item["metadata"]["namespace"]) == (name, namespace):
            return item
    raise NotFound(f"no cascade {namespace}/{name}; there are: {known}")


def condition(cascade: Object, type_: str) -> dict[str, Any]:
    """A condition, Unknown while nobody has looked at the newest generation."""
    status = cascade.get("status") or {}
    unknown = {"type": type_, "status": "Unknown", "reason": "Pending", "message": "not looked at yet"}
    if status.get("observedGeneration") != cascade["metadata"]["generation"]:
        return unknown
    return next((item for item in status.get("conditions") or [] if item["type"] == type_), unknown)


def holds(cascade: Object, type_: str) -> bool:
    return bool(condition(cascade, type_)["status"] == "True")
