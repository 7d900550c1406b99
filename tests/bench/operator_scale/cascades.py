"""Cascades of five agents without training, and the children that each must get."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

from disrouter_operator.kube.resources import CASCADES, CONFIG_MAPS, INFERENCE_SERVICES, SERVICES, Key, Object
from disrouter_operator.reconcile.reconciler import reconcile
from support.kube_fake import KubeFake
from support.operators import SETTINGS

AGENTS = 5
KINDS = {INFERENCE_SERVICES: AGENTS, CONFIG_MAPS: 1, SERVICES: 1}
"""Children of a cascade, by kind."""
CHILDREN = sum(KINDS.values())
_UID = "00000000-0000-0000-0000-000000000000"


def cascade(namespace: str, name: str) -> Object:
    """A valid cascade."""
    agents = [
        {"name": f"a{number}", "model": {"uri": f"hf://models/m{number}"}, "cost": number / 10}
        for number in range(1, AGENTS + 1)
    ]
    metadata = {"name": name, "namespace": namespace}
    return {
        "apiVersion": CASCADES.api_version,
        "kind": CASCADES.kind,
        "metadata": metadata,
        "spec": {"scenario": "balance", "agents": agents},
    }


def invalid(namespace: str, name: str) -> Object:
    """A cascade that breaks a rule which the operator knows and the API server does not."""
    manifest = cascade(namespace, name)
    manifest["spec"]["agents"][0]["engine"] = {"args": ["--served-model=x"]}
    return manifest


def foreign_child(namespace: str, name: str) -> Object:
    """Somebody else's object under the name of a child: the operator is refused each time."""
    metadata = {"name": f"{name}-a1", "namespace": namespace}
    return {"apiVersion": INFERENCE_SERVICES.api_version, "kind": INFERENCE_SERVICES.kind, "metadata": metadata}


def children(manifest: Object, uid: str) -> list[Object]:
    """What the operator makes of a cascade, for a loop that only copies."""
    return list(json.loads(json.dumps(_children(manifest)).replace(_UID, uid)))


def _children(manifest: Object) -> list[Object]:
    kube = KubeFake()
    kube.put(manifest)
    namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
    kube.objects[CASCADES, namespace, name]["metadata"]["uid"] = _UID
    asyncio.run(reconcile(kube, Key(namespace, name), SETTINGS, lambda: datetime.now(UTC)))
    found = [obj for (kind, _, _), obj in kube.objects.items() if kind in KINDS]
    for obj in found:
        for field in ("uid", "resourceVersion", "generation"):
            obj["metadata"].pop(field, None)
    return found
