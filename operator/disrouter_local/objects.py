"""Small readings of Kubernetes objects, in one place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from disrouter_operator.kube.resources import Object

Clock = Callable[[], datetime]
_EMPTY = (None, "")


class Key(NamedTuple):
    """Namespace and name of an object of a known kind."""

    namespace: str
    name: str


def utc_now() -> datetime:
    """The default clock."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """RFC 3339 as the API server writes it, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_stamp(text: str) -> datetime:
    """The moment that `stamp` wrote; a fraction of a second is accepted."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def key_of(obj: Object) -> Key:
    metadata = obj["metadata"]
    return Key(metadata.get("namespace", "default"), metadata["name"])


def uid_of(obj: Object) -> str:
    return str(obj["metadata"]["uid"])


def labels_of(obj: Object) -> dict[str, str]:
    return dict(obj["metadata"].get("labels") or {})


def is_deleting(obj: Object) -> bool:
    return "deletionTimestamp" in obj["metadata"]


def selects(selector: Mapping[str, str], obj: Object) -> bool:
    """Whether an object carries every label of a selector; an empty selector selects nothing, as in a Service."""
    labels = labels_of(obj)
    return bool(selector) and all(labels.get(name) == value for name, value in selector.items())


def controlled_by(owner: Object, objects: Iterable[Object]) -> list[Object]:
    """Those whose controller is `owner`."""
    return [obj for obj in objects if controller_uid(obj) == uid_of(owner)]


def controller_uid(obj: Object) -> str | None:
    """uid of the owner that controls an object."""
    references = obj["metadata"].get("ownerReferences") or []
    return next((str(item["uid"]) for item in references if item.get("controller")), None)


def owner_reference(owner: Object) -> dict[str, Any]:
    """The reference by which `owner` controls an object."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def condition(obj: Object, type_: str) -> dict[str, Any] | None:
    """A condition of an object's status."""
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((item for item in conditions if item.get("type") == type_), None)


def is_true(obj: Object, type_: str) -> bool:
    found = condition(obj, type_)
    return found is not None and found.get("status") == "True"


def with_condition(
    obj: Object, type_: str, *, status: bool, reason: str, now: datetime, message: str = ""
) -> dict[str, Any]:
    """The condition to write; its transition time changes only with its status."""
    before = condition(obj, type_)
    value = "True" if status else "False"
    unchanged = before is not None and before.get("status") == value
    since = before["lastTransitionTime"] if before is not None and unchanged else stamp(now)
    return {"type": type_, "status": value, "reason": reason, "message": message, "lastTransitionTime": since}


def covers(live: Any, wanted: Any) -> bool:
    """Whether `live` already says all that `wanted` says; absent, null and empty are the same, as on the wire."""
    if isinstance(wanted, dict):
        return all(covers((live or {}).get(name), value) for name, value in wanted.items())
    if isinstance(wanted, list):
        found = live or []
        return len(found) == len(wanted) and all(map(covers, found, wanted))
    return bool(live == wanted) or (live in _EMPTY and wanted in _EMPTY)


def digest(value: Any, length: int = 10) -> str:
    """Hex digits that change with any part of a JSON value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]
