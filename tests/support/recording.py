"""A Kube that notes what is written through it."""

from __future__ import annotations

from collections.abc import Mapping

from disrouter_operator.kube.client import NO_LABELS, Kube
from disrouter_operator.kube.resources import Object, Resource


class Recording:
    """Passes everything on to `kube`; `writes` lists verb, kind and name."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self.writes: list[tuple[str, str, str]] = []

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return await self._kube.get(resource, namespace, name)

    async def list(
        self, resource: Resource, namespace: str | None, labels: Mapping[str, str] = NO_LABELS
    ) -> list[Object]:
        return await self._kube.list(resource, namespace, labels)

    async def apply(self, obj: Object) -> Object:
        self.writes.append(("apply", obj["kind"], obj["metadata"]["name"]))
        return await self._kube.apply(obj)

    async def patch_status(self, obj: Object) -> Object:
        self.writes.append(("status", obj["kind"], obj["metadata"]["name"]))
        return await self._kube.patch_status(obj)

    async def scale(self, obj: Object) -> Object:
        self.writes.append(("scale", obj["kind"], obj["metadata"]["name"]))
        return await self._kube.scale(obj)

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str | None = None) -> None:
        self.writes.append(("delete", resource.kind, name))
        await self._kube.delete(resource, namespace, name, uid=uid)

    async def create(self, obj: Object) -> Object:
        self.writes.append(("create", obj["kind"], str(obj.get("reason", ""))))
        return await self._kube.create(obj)
