"""How far the watches are, measured by the resource versions that the API server stamps on every write.

A watch delivers the versions of a kind in order, so one number per kind says everything: what it delivered last. Two
uses. A reconcile may read from the API server's own cache if that is at least as new as what woke it and as what it
wrote (`floor`): the guarantee of an informer without its memory and without its traps after a relist. And what a
reconcile has read but the watch does not deliver shows a watch that died without a word (`lag`; Kopf's issue 1276).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from disrouter_operator.kube.resources import Object, Resource

Scope = tuple[Resource, str | None]
"""One watch: a kind, in a namespace or (None) in all of them."""


@dataclass(frozen=True)
class _Ahead:
    """Versions that were read and not delivered: the first such, when it was noticed, and the newest."""

    first: int
    since: float
    newest: int


@dataclass
class ResourceVersions:
    """`namespaces`: those that are watched one by one; empty: every watch spans the cluster."""

    namespaces: Collection[str] = ()
    monotonic: Callable[[], float] = time.monotonic
    _watched: frozenset[Resource] = field(default=frozenset(), init=False)
    _delivered: dict[Scope, int] = field(default_factory=dict, init=False)
    _written: dict[Scope, int] = field(default_factory=dict, init=False)
    _ahead: dict[Scope, _Ahead] = field(default_factory=dict, init=False)

    def delivered(self, resource: Resource, namespace: str, version: str) -> None:
        """A watch brought an object of this version."""
        scope, number = self._scope(resource, namespace), _number(version)
        if number <= self._delivered.get(scope, 0):
            return
        self._delivered[scope] = number
        ahead = self._ahead.get(scope)
        if ahead is None or number < ahead.first:
            return
        del self._ahead[scope]
        if number < ahead.newest:
            self._ahead[scope] = _Ahead(ahead.newest, self.monotonic(), ahead.newest)

    def read(self, resource: Resource, obj: Object) -> None:
        """A reconcile read an object: its version should be delivered soon if it was not yet."""
        scope, number = self._of(resource, obj)
        if resource not in self._watched or number <= self._delivered.get(scope, 0):
            return
        ahead = self._ahead.get(scope)
        if ahead is None:
            self._ahead[scope] = _Ahead(number, self.monotonic(), number)
        elif number > ahead.newest:
            self._ahead[scope] = _Ahead(ahead.first, ahead.since, number)

    def wrote(self, resource: Resource, obj: Object) -> None:
        """The API server answered a write: later reads must show it."""
        scope, number = self._of(resource, obj)
        self._written[scope] = max(number, self._written.get(scope, 0))
        self.read(resource, obj)

    def floor(self, resource: Resource, namespace: str) -> str | None:
        """The version that a read must at least have; None if only a read of the newest state will do."""
        scope = self._scope(resource, namespace)
        if scope not in self._delivered:
            return None
        return str(max(self._delivered[scope], self._written.get(scope, 0)))

    def forget(self, resource: Resource, namespace: str) -> None:
        """The API server does not know that version: it was restored from a backup."""
        scope = self._scope(resource, namespace)
        for known in (self._delivered, self._written):
            known.pop(scope, None)

    def restarted(self, watched: Collection[Resource]) -> None:
        """The watches of these kinds list everything afresh; what was deleted meanwhile is not waited for."""
        self._watched = frozenset(watched)
        self._ahead.clear()

    def lag(self) -> float:
        """Seconds that the most belated watch owes something; 0 if none does."""
        return max((self.monotonic() - ahead.since for ahead in self._ahead.values()), default=0.0)

    def late(self, seconds: float) -> list[str]:
        """The kinds whose watch owes something for longer than `seconds`."""
        now = self.monotonic()
        return sorted({scope[0].plural for scope, ahead in self._ahead.items() if now - ahead.since > seconds})

    def _of(self, resource: Resource, obj: Object) -> tuple[Scope, int]:
        metadata = obj.get("metadata") or {}
        scope = self._scope(resource, str(metadata.get("namespace") or ""))
        return scope, _number(str(metadata.get("resourceVersion") or ""))

    def _scope(self, resource: Resource, namespace: str) -> Scope:
        return resource, namespace if self.namespaces else None


def _number(version: str) -> int:
    """Versions are numbers that grow wherever etcd stores them; 0 (says nothing) where they are not."""
    return int(version) if version.isdigit() else 0
