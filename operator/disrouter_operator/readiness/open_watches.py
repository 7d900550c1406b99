"""Which watches are open, by what is seen of their requests: a kind without objects brings nothing that says so."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from disrouter_operator.kube.resource_versions import Scope
from disrouter_operator.kube.resources import Resource


@dataclass(frozen=True)
class Closed:
    """A watch that is not open. `refused`: for want of a right."""

    why: str = ""
    refused: bool = False


class OpenWatches:
    """The watches of one start; all of them are closed at first, for the reasons of the `last` start."""

    def __init__(
        self, kinds: Collection[Resource] = (), namespaces: Sequence[str] = (), last: OpenWatches | None = None
    ) -> None:
        known = last._closed if last is not None else {}
        scopes = [(kind, place) for kind in kinds for place in namespaces or (None,)]
        self._closed: dict[Scope, Closed] = {scope: known.get(scope, Closed()) for scope in scopes}

    def note(self, scope: Scope, closed: Closed | None) -> None:
        """A watch is open now (None), or not (any more). Why it is not stays known until it is open again."""
        if closed is None:
            self._closed.pop(scope, None)
        elif closed.why or scope not in self._closed:
            self._closed[scope] = closed

    def missing(self) -> dict[Resource, Closed]:
        """Kinds whose watch is not open (somewhere), with what is known of it."""
        found: dict[Resource, Closed] = {}
        for (kind, _), closed in self._closed.items():
            if kind not in found or (closed.why and not found[kind].why):
                found[kind] = closed
        return found
