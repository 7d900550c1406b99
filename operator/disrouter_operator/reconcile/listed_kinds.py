"""Which kinds a reconcile lists: not those that the cluster lacks, and of the rare ones only what a cascade may have.

Most cascades have no autoscaler and are not published, so that four lists in each reconcile would find nothing. Such a
kind is listed for a cascade that asks for it, or for which a watch has shown one; and once after the operator's start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from disrouter_operator.kube.observed import CHILDREN, told_unreadable
from disrouter_operator.kube.resources import (
    HORIZONTAL_POD_AUTOSCALERS,
    HTTP_ROUTES,
    INGRESSES,
    SCALED_OBJECTS,
    Key,
    Object,
    Resource,
)

_ASKED_BY_SPEC = {"httpRoute": HTTP_ROUTES, "ingress": INGRESSES}
RARE = frozenset({*_ASKED_BY_SPEC.values(), HORIZONTAL_POD_AUTOSCALERS, SCALED_OBJECTS})


@dataclass
class ListedKinds:
    """Remembers, in memory alone, which rare kinds each cascade was seen to have. `absent` are kinds that the API
    server was found to lack (`survey.py`)."""

    absent: Callable[[], frozenset[Resource]] = frozenset
    _known: dict[Key, tuple[str, set[Resource]]] = field(default_factory=dict)
    """By the uid of the cascade that has the name now; what was seen once may still be there."""

    def of(self, key: Key, parent: Object) -> tuple[Resource, ...]:
        """The kinds to list for a cascade."""
        uid, rare = self._known.get(key, ("", set()))
        wanted = RARE if uid != parent["metadata"]["uid"] else rare | set(_asked(parent))
        absent = self.absent()
        return tuple(kind for kind in CHILDREN if kind not in absent and (kind not in RARE or kind in wanted))

    def read(self, key: Key, parent: Object, found: set[Resource]) -> None:
        """A cascade was read, and has children of the kinds `found`."""
        uid, rare = self._known.get(key, ("", set()))
        before = rare if uid == parent["metadata"]["uid"] else set()
        self._known[key] = parent["metadata"]["uid"], before | (found & RARE) | set(_asked(parent))

    def shown(self, key: Key, kind: Resource) -> None:
        """A watch has shown a child of a cascade, or that it is gone."""
        if kind in RARE and key in self._known:
            self._known[key][1].add(kind)

    def forget(self, key: Key) -> None:
        """The cascade is gone."""
        self._known.pop(key, None)


def _asked(parent: Object) -> Iterator[Resource]:
    """Rare kinds that a cascade may ask for, valid or not, or may have had before they could be read no longer."""
    yield from told_unreadable(parent)
    spec = parent.get("spec")
    given = spec if isinstance(spec, dict) else {}
    yield from (kind for name, kind in _ASKED_BY_SPEC.items() if given.get(name) is not None)
    agents = given.get("agents")
    for agent in agents if isinstance(agents, list) else ():
        if isinstance(agent, dict) and agent.get("autoscaling") is not None:
            yield from (HORIZONTAL_POD_AUTOSCALERS, SCALED_OBJECTS)
        elif isinstance(agent, dict) and _is_range(agent.get("replicas")):
            yield HORIZONTAL_POD_AUTOSCALERS


def _is_range(replicas: Any) -> bool:
    return isinstance(replicas, dict) and replicas.get("min", 1) != replicas.get("max", 1)
