"""What an API server that knows CEL does with a manifest: fill in the schema's defaults, then evaluate every rule."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import celpy
from celpy import celtypes
from celpy.adapter import json_to_cel

Schema = dict[str, Any]


def _is_sorted(items: list[Any]) -> celtypes.BoolType:
    return celtypes.BoolType(all(before <= after for before, after in pairwise(items)))


def _index_of(items: list[Any], item: Any) -> celtypes.IntType:
    return celtypes.IntType(items.index(item) if item in items else -1)


KUBERNETES_LISTS: dict[str, Callable[..., Any]] = {"isSorted": _is_sorted, "indexOf": _index_of}
"""Kubernetes' own additions to CEL that the rules use (apiserver/pkg/cel/library/lists.go)."""


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every node of a structural schema with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


def failed(schema: Schema, value: Any) -> list[str]:
    """Messages of the rules that a value breaks."""
    return list(_failed(schema, _defaulted(schema, value)))


def _defaulted(schema: Schema, value: Any) -> Any:
    """As the API server: absent fields get their defaults, from the outside in."""
    if isinstance(value, dict):
        fields = schema.get("properties", {})
        missing = {name: child["default"] for name, child in fields.items() if name not in value and "default" in child}
        return {name: _defaulted(fields.get(name, {}), inner) for name, inner in (value | missing).items()}
    return [_defaulted(schema.get("items", {}), inner) for inner in value] if isinstance(value, list) else value


def _failed(schema: Schema, value: Any) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", []):
        if not _program(rule["rule"]).evaluate({"self": _typed(schema, value)}):
            yield rule["message"]
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _failed(schema.get("properties", {}).get(name, {}), inner)
    if isinstance(value, list):
        for inner in value:
            yield from _failed(schema.get("items", {}), inner)


@functools.cache
def _program(rule: str) -> celpy.Runner:
    environment = celpy.Environment()
    return environment.program(environment.compile(rule), functions=KUBERNETES_LISTS)


def _typed(schema: Schema, value: Any) -> Any:
    """CEL's value by the schema's type: a `number` is a double even when it is written `1`."""
    if isinstance(value, dict):
        fields = schema.get("properties", {})
        return celtypes.MapType(
            {celtypes.StringType(name): _typed(fields.get(name, {}), inner) for name, inner in value.items()}
        )
    if isinstance(value, list):
        return celtypes.ListType([_typed(schema.get("items", {}), inner) for inner in value])
    if schema.get("type") == "number":
        return celtypes.DoubleType(value)
    return json_to_cel(value)
