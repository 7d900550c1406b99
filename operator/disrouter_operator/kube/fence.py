"""Only the leader writes: a Kube that refuses to write once the lease may have passed to another replica.

Losing the lease ends the process, but a process that was held up (stopped, swapped out, starved) may wake in the
middle of a reconcile. So every write asks the clock first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from disrouter_operator.errors import NotLeading
from disrouter_operator.kube.client import NO_LABELS, Kube
from disrouter_operator.kube.resources import Object, Resource


class Fenced:
    """`kube`, with writes only while `leads` says so. Writes raise NotLeading otherwise."""

    def __init__(self, kube: Kube, leads: Callable[[], bool]) -> None:
        self._kube = kube
        self._leads = leads

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """See `Kube.get`."""
        return await self._kube.get(resource, namespace, name)

    async def list(
        self, resource: Resource, namespace: str | None, labels: Mapping[str, str] = NO_LABELS
    ) -> list[Object]:
        """See `Kube.list`."""
        return await self._kube.list(resource, namespace, labels)

    async def apply(self, obj: Object) -> Object:
        """See `Kube.apply`."""
        self._check()
        return await self._kube.apply(obj)

    async def patch_status(self, obj: Object) -> Object:
        """See `Kube.patch_status`."""
        self._check()
        return await self._kube.patch_status(obj)

    async def scale(self, obj: Object) -> Object:
        """See `Kube.scale`."""
        self._check()
        return await self._kube.scale(obj)

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str | None = None) -> None:
        """See `Kube.delete`."""
        self._check()
        await self._kube.delete(resource, namespace, name, uid=uid)

    async def create(self, obj: Object) -> Object:
        """See `Kube.create`."""
        self._check()
        return await self._kube.create(obj)

    def _check(self) -> None:
        if not self._leads():
            raise NotLeading("this replica may not lead any more, so it writes nothing")
