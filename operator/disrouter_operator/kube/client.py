"""The few verbs that the control plane needs of an API server.

`api_server.ApiServer` speaks them to a cluster, the local runtime's store speaks them to a folder. Every method raises
`KubeError` or one of its kinds and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from disrouter_operator.kube.resources import Object, Resource

NO_LABELS: Mapping[str, str] = MappingProxyType({})


class Kube(Protocol):
    """Read and write objects. Returned objects are the caller's own copies."""

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """One object, None if there is none."""
        ...

    async def list(
        self, resource: Resource, namespace: str | None, labels: Mapping[str, str] = NO_LABELS
    ) -> list[Object]:
        """Objects whose labels have all of `labels`; `namespace=None` means every namespace.

        Each item carries `apiVersion` and `kind`, also where the API server leaves them out of lists.
        """
        ...

    async def apply(self, obj: Object) -> Object:
        """Server-side apply with field manager `disrouter`, conflicts forced. Returns the live object."""
        ...

    async def patch_status(self, obj: Object) -> Object:
        """Replace `status` of the object that has `obj`'s name and resourceVersion. Raises Conflict if it moved on."""
        ...

    async def scale(self, obj: Object) -> Object:
        """Give the Deployment of that name as many pods as the Scale `obj` says, whoever keeps it otherwise."""
        ...

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str | None = None) -> None:
        """Delete with background propagation; an object that is gone (or has another uid) is fine."""
        ...

    async def create(self, obj: Object) -> Object:
        """Create; `metadata.generateName` is honoured. Raises Conflict if the name is taken."""
        ...
