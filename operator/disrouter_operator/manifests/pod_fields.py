"""Typing errors in a pod's patch, named before anything is applied: what is nearly a field of a pod, and is none.

Which fields there are is read from the Kubernetes client's own models, and a cluster may be newer than they are. So
what resembles none of them is left to the API server, which refuses by name what it does not know
(`fieldValidation=Strict`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from functools import cache
from typing import Any

from disrouter.errors import Violation
from disrouter_operator.kube.resources import Object

_POD_SPEC = "V1PodSpec"
_SIMILARITY = 0.8
"""From which on (difflib's ratio) a name is a known one mistyped: one or two letters, not a word more."""


def misspelt(patch: Object, path: str) -> Iterator[Violation]:
    """Each field, of a patch of a pod's spec that stands at `path` of a manifest, whose name is nearly a known one."""
    yield from _of_type(patch, _POD_SPEC, path)


def _of_type(value: Any, type_: str, path: str) -> Iterator[Violation]:
    """`type_` as the client spells it: `str`, `V1Container`, `list[V1Container]`, `dict[str, str]`."""
    if type_.startswith("list[") and isinstance(value, list):
        for place, item in enumerate(value):
            name = item.get("name", place) if isinstance(item, dict) else place
            yield from _of_type(item, type_.removeprefix("list[").removesuffix("]"), f"{path}[{name}]")
    elif type_.startswith("dict[") and isinstance(value, dict):
        for name, item in value.items():
            yield from _of_type(item, type_.partition(", ")[2].removesuffix("]"), f"{path}.{name}")
    elif isinstance(value, dict):
        yield from _of_model(value, _fields(type_), path)


def _of_model(value: Object, known: dict[str, str], path: str) -> Iterator[Violation]:
    for name, inner in value.items():
        if name.startswith("$") or not known:
            continue  # a directive of the patch; or an object that is anybody's
        if name in known:
            yield from _of_type(inner, known[name], f"{path}.{name}")
            continue
        for meant in difflib.get_close_matches(name, known, n=1, cutoff=_SIMILARITY):
            yield Violation(f"{path}.{name}", f"unknown field, did you mean {meant!r}?")


@cache
def _fields(type_: str) -> dict[str, str]:
    """The types of a model's fields by their names in JSON; none where it is no model."""
    from kubernetes.aio.client import models

    model = getattr(models, type_, None)
    if model is None:
        return {}
    return {name: model.openapi_types[attribute] for attribute, name in model.attribute_map.items()}
