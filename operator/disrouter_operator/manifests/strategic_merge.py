"""Strategic merge patch of a pod's spec, as the API server does it to typed objects.

KServe's InferenceService is a custom resource, so no API server merges its pod fields; this does. Maps are merged,
null deletes, lists of `_KEYS` are merged item by item and every other list is replaced as a whole. One difference is on
purpose: new items go last, where the API server puts them first, because KServe wants its container at index 0. Source:
k8s.io/apimachinery/pkg/util/strategicpatch and the `patchMergeKey` tags of k8s.io/api/core/v1.
"""

from __future__ import annotations

from typing import Any

from disrouter_operator.errors import InvalidPatch

Tree = dict[str, Any]

_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "resourceClaims": "name",
    "schedulingGates": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "ports": "containerPort",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
}
"""Lists of a pod that merge, and the field that tells their items apart."""
_DIRECTIVE = "$patch"
_RETAIN = "$retainKeys"


def merge(base: Tree, patch: Tree, path: str = "") -> Tree:
    """`base` after `patch`; both stay as they are. Raises InvalidPatch that names the place in the patch.

    What the patch leaves alone is shared with `base`, not copied: this runs for every agent in every reconcile.
    """
    directive = patch.get(_DIRECTIVE, "merge")
    if directive == "delete":
        return {}
    if directive not in ("merge", "replace"):
        raise InvalidPatch(f"{path}.{_DIRECTIVE}", f"is {directive!r}; use replace, delete or merge")
    merged = {} if directive == "replace" else dict(base)
    for name, value in patch.items():
        if name in (_DIRECTIVE, _RETAIN):
            continue
        if name.startswith("$"):
            raise InvalidPatch(f"{path}.{name}", "is a directive that is not supported; use $patch or $retainKeys")
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _value(merged.get(name), value, name, f"{path}.{name}")
    if _RETAIN in patch:
        merged = {name: value for name, value in merged.items() if name in patch[_RETAIN]}
    return merged


def _value(old: Any, new: Any, name: str, path: str) -> Any:
    if isinstance(old, list) and not isinstance(new, list):
        raise InvalidPatch(path, f"is a {type(new).__name__}; write a list")
    if isinstance(new, dict):
        return merge(old if isinstance(old, dict) else {}, new, path)
    if name in _KEYS and isinstance(new, list):  # a label may be called `env` too
        return _items(old if isinstance(old, list) else [], new, _KEYS[name], path)
    return new


def _items(old: list[Tree], new: list[Any], key: str, path: str) -> list[Tree]:
    """A keyed list: known items are patched in place, others appended in the patch's order."""
    merged = [] if {_DIRECTIVE: "replace"} in new else list(old)
    for place, item in enumerate(new):
        if item == {_DIRECTIVE: "replace"}:
            continue
        if not isinstance(item, dict) or item.get(key) is None:
            raise InvalidPatch(f"{path}[{place}]", f"has no {key}; name the item that it changes or adds")
        found = next((index for index, each in enumerate(merged) if each.get(key) == item[key]), None)
        if item.get(_DIRECTIVE) == "delete":
            merged = [each for each in merged if each.get(key) != item[key]]
        elif found is None:
            merged.append(merge({}, item, f"{path}[{place}]"))
        else:
            merged[found] = merge(merged[found], item, f"{path}[{place}]")
    return merged
