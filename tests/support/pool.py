"""Manifests of cascades for a cluster without GPUs, whose engines follow a script."""

from __future__ import annotations

from typing import Any

from disrouter import names
from support.cluster import image

SMALL: dict[str, Any] = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "2", "memory": "4Gi"}}
"""Resources of a pod without a GPU. One that asks for no CPU gets none while anybody else wants it."""


def scripted(name: str, cost: float, knows: str = "", **fields: Any) -> dict[str, Any]:
    """An agent with the scripted engine: it refuses what has none of the words that it knows."""
    engine = {"image": image("scripted"), "env": [{"name": "KNOWS", "value": knows}]}
    return {
        "name": name,
        "cost": cost,
        "model": {"uri": f"hf://scripted/{name}"},
        "resources": SMALL,
        "engine": engine,
    } | fields


def cascade(name: str, *agents: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A manifest."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": name},
        "spec": {"agents": list(agents), **spec},
    }
