"""A folderless, networkless Kube for tests of pure logic. Server-side apply here is a merge of maps; its real
semantics (ownership, pruning, defaults) are tested against the real API server."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping
from typing import Any

from disrouter.names import FIELD_MANAGER
from disrouter_operator.errors import Conflict, KubeError
from disrouter_operator.kube.client import NO_LABELS
from disrouter_operator.kube.resources import DEPLOYMENTS, Object, Resource, resource_of
from disrouter_operator.manifests.training.runs import STAGE_KINDS

Id = tuple[Resource, str, str]


class KubeFake:
    """Objects in memory. `writes` lists every verb that changed something, in order; `refuse` makes applies fail
    and `mutate` changes what they store, as admission webhooks do; `absent` kinds are not
    known at all, and `forbidden` ones not shown."""

    def __init__(self) -> None:
        self.objects: dict[Id, Object] = {}
        self.writes: list[tuple[str, str, str]] = []
        self.refuse: Callable[[Object], KubeError | None] = lambda _: None
        self.mutate: Callable[[Object], None] = lambda _: None
        self.absent: set[Resource] = set()
        self.forbidden: set[Resource] = set()
        self._count = itertools.count(1)

    def put(self, obj: Object) -> Object:
        """What a user's client does: create or replace the manifest, raising the generation."""
        id_ = _id(obj)
        old = self.objects.get(id_)
        new = copy.deepcopy(obj)
        new["metadata"]["generation"] = (old["metadata"]["generation"] if old else 0) + 1
        new["metadata"]["uid"] = old["metadata"]["uid"] if old else f"uid-{next(self._count)}"
        if old is not None and "status" in old:
            new.setdefault("status", old["status"])
        return self._store(id_, new)

    def set_status(self, resource: Resource, name: str, status: Mapping[str, Any], namespace: str = "default") -> None:
        """What another controller does."""
        id_ = (resource, namespace, name)
        self._store(id_, self.objects[id_] | {"status": dict(status)})

    def names(self, resource: Resource) -> list[str]:
        """Names of the objects of a kind."""
        return sorted(name for kind, _, name in self.objects if kind == resource)

    def one(self, resource: Resource, name: str, namespace: str = "default") -> Object:
        """An object that must exist."""
        return self.objects[resource, namespace, name]

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return copy.deepcopy(self.objects.get((resource, namespace, name)))

    async def list(
        self, resource: Resource, namespace: str | None, labels: Mapping[str, str] = NO_LABELS
    ) -> list[Object]:
        if resource in self.forbidden:
            raise KubeError(f"{resource.plural} is forbidden", 403)
        if resource in self.absent:
            raise KubeError(f"the server could not find {resource.plural}", 404)
        return [
            copy.deepcopy(obj)
            for (kind, where, _), obj in self.objects.items()
            if kind == resource
            and namespace in (None, where)
            and labels.items() <= (obj["metadata"].get("labels") or {}).items()
        ]

    async def apply(self, obj: Object) -> Object:
        error = self.refuse(obj)
        if error is not None:
            raise error
        id_ = _id(obj)
        assert id_[0] not in STAGE_KINDS, "Jobs are created, never patched"
        live = self.objects.get(id_) or {"metadata": {"uid": f"uid-{next(self._count)}", "generation": 0}}
        merged = _merge(live, obj)
        merged["metadata"]["generation"] = live["metadata"].get("generation", 0) + 1
        merged["metadata"]["managedFields"] = _managed(live, "Apply")
        self.mutate(merged)
        self.writes.append(("apply", obj["kind"], obj["metadata"]["name"]))
        return self._store(id_, merged)

    async def patch_status(self, obj: Object) -> Object:
        id_ = _id(obj)
        live = self.objects[id_]
        if live["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
            raise Conflict(f"{obj['metadata']['name']} moved on", 409)
        self.writes.append(("status", obj["kind"], obj["metadata"]["name"]))
        return self._store(id_, live | {"status": copy.deepcopy(obj["status"])})

    async def scale(self, obj: Object) -> Object:
        id_ = (DEPLOYMENTS, obj["metadata"]["namespace"], obj["metadata"]["name"])
        live = self.objects[id_]
        self.writes.append(("scale", obj["kind"], obj["metadata"]["name"]))
        metadata = live["metadata"] | {"managedFields": _managed(live, "Update", subresource="scale")}
        stored = self._store(id_, live | {"spec": live["spec"] | obj["spec"], "metadata": metadata})
        known = {key: stored["metadata"][key] for key in ("name", "namespace", "uid") if key in stored["metadata"]}
        return {**obj, "metadata": known}

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str | None = None) -> None:
        if self.objects.pop((resource, namespace, name), None) is not None:
            self.writes.append(("delete", resource.kind, name))

    async def create(self, obj: Object) -> Object:
        new = copy.deepcopy(obj)
        new["metadata"].setdefault("name", f"{new['metadata'].get('generateName', '')}{next(self._count)}")
        error = self.refuse(new)
        if error is not None:
            raise error
        if _id(new) in self.objects:
            raise Conflict(f"{new['metadata']['name']} exists", 409)
        new["metadata"] |= {"uid": f"uid-{next(self._count)}", "generation": 1}
        new["metadata"]["managedFields"] = _managed(new, "Update")
        self.writes.append(("create", obj["kind"], str(obj.get("reason", new["metadata"]["name"]))))
        return self._store(_id(new), new)

    def _store(self, id_: Id, obj: Object) -> Object:
        obj["metadata"]["resourceVersion"] = str(next(self._count))
        self.objects[id_] = obj
        return copy.deepcopy(obj)


def _managed(live: Object, operation: str, **entry: str) -> list[Object]:
    """Who wrote an object, after a write of ours; which fields is left out."""
    ours = {"manager": FIELD_MANAGER, "operation": operation, **entry}
    return [*(each for each in live["metadata"].get("managedFields") or [] if each != ours), ours]


def _id(obj: Object) -> Id:
    return resource_of(obj), obj["metadata"]["namespace"], obj["metadata"]["name"]


def _merge(live: Any, desired: Any) -> Any:
    if isinstance(live, dict) and isinstance(desired, dict):
        return live | {key: _merge(live.get(key), value) for key, value in desired.items()}
    return copy.deepcopy(desired)
