"""What pydantic finds wrong with a spec, in the words of the manifest: field, what is wrong, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from disrouter.api.agent import API_PATH, HEADER_NAME, HEADER_VALUE, PROVIDER_URL, RUN
from disrouter.api.exposure import HOSTNAME, NAMESPACE
from disrouter.api.pod import DATA_KEY, ENV_NAME, QUALIFIED_NAME
from disrouter.api.quantity import QUANTITY, RESOURCE_NAME
from disrouter.api.spec import CascadeSpec
from disrouter.api.traffic import ALIAS, ORIGIN
from disrouter.errors import Violation
from disrouter.names import DNS_LABEL, OBJECT_NAME
from disrouter.uris import ADAPTER_URI, FILE_URI, HUB_DATASET, HUB_REVISION, MODEL_URI

_WORDS = {
    DNS_LABEL: "use lower case letters, digits and '-', a letter first",
    OBJECT_NAME: "use lower case letters, digits, '-' and '.'",
    DATA_KEY: "use letters, digits, '-', '_' and '.'",
    ENV_NAME: "use letters, digits and '_', no digit first",
    QUALIFIED_NAME: "write a name such as example.com/pool",
    HEADER_NAME: "use letters, digits and '-'",
    HEADER_VALUE: "use printable ASCII; a key belongs into secretKeyRef",
    RUN: "write the ten hex digits of a run, or base",
    MODEL_URI: "write hf://org/name, pvc://claim/path, s3://bucket/path or oci://image, without '..'",
    ADAPTER_URI: "write pvc://claim/path, without '..'",
    FILE_URI: "write pvc://claim/path.jsonl, s3://bucket/path.jsonl or hf://datasets/org/name/path.jsonl, without '..'",
    HUB_DATASET: "write a dataset of the Hub as org/name",
    API_PATH: "write a path such as /v1 or /openai/v1",
    HUB_REVISION: "write a commit, tag or branch of the Hub",
    PROVIDER_URL: "write https://host/v1; a key belongs into apiKeySecretRef",
    QUANTITY: "write a quantity such as 2, 500m or 8Gi",
    HOSTNAME: "write a host name such as llm.example.com, in lower case; `*.` may stand before it",
    NAMESPACE: "use lower case letters, digits and '-'",
    ALIAS: "use printable ASCII without blanks",
    ORIGIN: "write https://host or https://host:port, in lower case and without a path, or *",
    RESOURCE_NAME: "write a resource such as cpu, memory or nvidia.com/gpu",
}
"""Patterns in plain words."""


def shape_violations(details: Sequence[ErrorDetails]) -> list[Violation]:
    """One violation for each error, without those that only follow from another."""
    inner = {detail["loc"][:-depth] for detail in details for depth in range(1, len(detail["loc"]))}
    return [_violation(detail) for detail in details if detail["type"] != "too_short" or detail["loc"] not in inner]


def _violation(detail: ErrorDetails) -> Violation:
    """A pydantic error in the words of the manifest."""
    field = _field(detail["loc"])
    kind = detail["type"]
    if kind == "extra_forbidden":
        return Violation(field, f"unknown field{_suggestion(detail['loc'])}; remove it or correct its name")
    if kind == "missing":
        return Violation(field, "is required; add it")
    if kind in ("dict_type", "model_type", "tuple_type"):
        wanted = "a list; begin each item with '-'" if kind == "tuple_type" else "an object; write name: value pairs"
        return Violation(field, f"is not {wanted}")
    pattern = detail.get("ctx", {}).get("pattern")
    if pattern in _WORDS:
        # An address may hold a key, which no message may repeat.
        shown = "" if pattern in (PROVIDER_URL, HEADER_VALUE) else f"{str(detail['input'])[:128]!r} "
        return Violation(field, f"{shown}does not fit; {_WORDS[pattern]}")
    if kind == "too_short":
        return Violation(field, f"needs at least {detail['ctx']['min_length']} item; add one")
    message = detail["msg"].removeprefix("Value error, ")
    given = detail.get("input")
    shown = f" (got {given!r})" if isinstance(given, str | int | float) else ""
    return Violation(field, f"{message[:1].lower()}{message[1:]}{shown}; correct the value")


def _field(location: tuple[int | str, ...]) -> str:
    shown = (part for part in location if part != "[key]")
    return "spec" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in shown)


def _suggestion(location: tuple[int | str, ...]) -> str:
    known = _wire_names(CascadeSpec, location[:-1])
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    if close:
        return f", did you mean {close[0]!r}?"
    return f" (known here: {', '.join(known)})" if known else ""


def _wire_names(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Wire names of the fields of the model that lies at `location` below `model`."""
    for part in location:
        if isinstance(part, int):
            continue
        inner = next((info for info in model.model_fields.values() if info.alias == part), None)
        nested = _model_in(inner.annotation) if inner is not None else None
        if nested is None:
            return []
        model = nested
    return [info.alias or name for name, info in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside `Model`, `Model | None` or `tuple[Model, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    arguments = getattr(annotation, "__args__", ())
    return next((found for argument in arguments if (found := _model_in(argument)) is not None), None)
