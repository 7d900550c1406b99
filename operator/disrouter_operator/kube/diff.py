"""Does a live object already satisfy what is wanted? If so it is not written, and a reconcile at rest writes nothing.

Only owned fields count: what is wanted must be in the live object, and what field manager `disrouter` still owns
there must still be wanted. Everything else (defaults, other managers' fields, status) is not ours to judge.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from disrouter.api.quantity import number
from disrouter.names import FIELD_MANAGER
from disrouter_operator.kube.resources import Object

_IDENTITY = frozenset({"apiVersion", "kind"})
_KEYS = ("name", "uid", "containerPort", "port", "mountPath")
"""Fields that identify an item of a list that the API server merges by key."""
_QUANTITIES = frozenset({"limits", "requests", "sizeLimit", "divisor", "averageValue"})
"""Fields whose numbers the API server writes in its own words: `16Gi` for `16384Mi`."""
_ATOMIC = frozenset({"parentRefs", "backendRefs"})
"""Lists that are replaced whole although their items have names: nobody else's item is kept there."""


def satisfies(live: Object, desired: Object) -> bool:
    """Whether applying `desired` would change nothing that is ours."""
    return _contains(live, desired, quantity=False) and not any(_forgotten(live, desired))


def foreign_managers(live: Object, desired: Object) -> list[str]:
    """Who else set a wanted field to another value: the people or tools whose edits an apply undoes."""
    return sorted(
        {
            str(entry.get("manager"))
            for entry in _managed(live)
            if entry.get("manager") != FIELD_MANAGER and _disagrees(entry.get("fieldsV1") or {}, live, desired)
        }
    )


def _contains(live: Any, desired: Any, *, quantity: bool, atomic: bool = False) -> bool:
    if isinstance(desired, Mapping):
        if not isinstance(live, Mapping):
            return not desired and live is None
        return all(
            _contains(live.get(key), value, quantity=quantity or key in _QUANTITIES, atomic=key in _ATOMIC)
            for key, value in desired.items()
        )
    if isinstance(desired, list):
        return _contains_list(live or [], desired, None if atomic else _key(desired), quantity=quantity)
    if desired in (None, ""):
        return live in (None, "")
    return bool(live == desired) or (quantity and _quantity(live) == _quantity(desired))


def _contains_list(live: Any, desired: list[Any], key: str | None, *, quantity: bool) -> bool:
    """Lists with a key may hold more in the live object (another manager's items); plain ones are equally long."""
    if not isinstance(live, list):
        return False
    if key is None:
        return len(live) == len(desired) and all(
            _contains(one, other, quantity=quantity) for one, other in zip(live, desired, strict=True)
        )
    found = {item.get(key): item for item in live if isinstance(item, Mapping)}
    return all(_contains(found.get(item[key]), item, quantity=quantity) for item in desired)


def _key(items: list[Any]) -> str | None:
    if not items or not all(isinstance(item, Mapping) for item in items):
        return None
    for key in _KEYS:
        if all(key in item for item in items) and len({item[key] for item in items}) == len(items):
            return key
    return None


def _quantity(value: Any) -> Decimal | None:
    """`500m`, `0.5`, `1Gi` or `2` as a number; None for what is no quantity."""
    try:
        return number(str(value))
    except ValueError:
        return None


def _managed(live: Object) -> list[Mapping[str, Any]]:
    return live.get("metadata", {}).get("managedFields") or []


def _forgotten(live: Object, desired: Object) -> Iterator[str]:
    """Paths that our apply owns in `live` and that `desired` does not have any more."""
    for entry in _managed(live):
        if entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply":
            yield from _missing(entry.get("fieldsV1") or {}, desired, "")


def _missing(fields: Mapping[str, Any], desired: Any, path: str) -> Iterator[str]:
    for step, inner in fields.items():
        if step == "." or step[2:] in _IDENTITY:
            continue
        present, value = _step(step, desired)
        if not present:
            yield f"{path}/{step}"
        else:
            yield from _missing(inner, value, f"{path}/{step}")


def _disagrees(fields: Mapping[str, Any], live: Any, desired: Any) -> bool:
    for step, inner in fields.items():
        if step == ".":
            continue
        wanted, wanted_value = _step(step, desired)
        if not wanted:
            continue
        _, live_value = _step(step, live)
        below = {key: value for key, value in inner.items() if key != "."}
        if _disagrees(below, live_value, wanted_value) if below else live_value != wanted_value:
            return True
    return False


def _step(step: str, value: Any) -> tuple[bool, Any]:
    """Follow one step of fieldsV1: `f:name` into a map, `k:{...}` to a list item, `v:...` to a set's member."""
    kind, _, rest = step.partition(":")
    if kind == "f":
        return (rest in value, value.get(rest)) if isinstance(value, Mapping) else (False, None)
    if not isinstance(value, list):
        return False, None
    wanted = json.loads(rest)
    if kind == "v":
        return wanted in value, None
    for item in value:
        if isinstance(item, Mapping) and all(item.get(key) == each for key, each in wanted.items()):
            return True, item
    return False, None
