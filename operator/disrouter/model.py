"""The base of every model on the wire: snake_case in Python, camelCase outside, unknown fields refused.

Models are pydantic's: they make the resource's definition and report everything that is wrong with a manifest at once.
What a sidecar reads too is a msgspec struct: pydantic would take 13 MiB beside every replica. `StructField` makes a
struct a field of a model, and `mirrored` gives a model's field the default and the bounds of a struct's.
"""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import msgspec
from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema

_BOUNDS = ("gt", "ge", "lt", "le", "pattern", "min_length", "max_length")


class Model(BaseModel):
    """Immutable and strict, numbers finite; `dump` gives the camelCase dict without unset optional fields."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        revalidate_instances="subclass-instances",
        use_attribute_docstrings=True,
    )

    def dump(self) -> dict[str, Any]:
        """JSON-ready dict by wire names, without fields that are None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class StructField:
    """Annotation `Annotated[Struct, StructField(Struct)]`: msgspec reads, checks and writes this field of a model."""

    def __init__(self, struct: type[msgspec.Struct]) -> None:
        self._struct = struct

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._read, serialization=core_schema.plain_serializer_function_ser_schema(msgspec.to_builtins)
        )

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: Any) -> dict[str, Any]:
        (root,), parts = msgspec.json.schema_components([self._struct], ref_template="{name}")
        inlined: dict[str, Any] = _inlined(root, parts)
        return inlined

    def _read(self, value: Any) -> Any:
        return value if isinstance(value, self._struct) else msgspec.convert(value, self._struct)


def mirrored(struct: type[msgspec.Struct], name: str) -> Any:
    """Default and bounds of a struct's field, for the model's field of this name."""
    field = next(field for field in msgspec.structs.fields(struct) if field.name == name)
    hint = get_type_hints(struct, include_extras=True)[name]
    metas = [meta for part in (hint, *get_args(hint)) for meta in getattr(part, "__metadata__", ())]
    bounds = {key: bound for meta in metas for key in _BOUNDS if (bound := getattr(meta, key, None)) is not None}
    return Field(default=field.default, **bounds)


def _inlined(schema: Any, parts: dict[str, Any]) -> Any:
    """A JSON schema without references; enums say that they are texts."""
    if isinstance(schema, list):
        return [_inlined(each, parts) for each in schema]
    if not isinstance(schema, dict):
        return schema
    part = parts[schema["$ref"]] if "$ref" in schema else {}
    whole = part | {key: value for key, value in schema.items() if key != "$ref"}
    text = {"type": "string"} if "enum" in whole else {}
    return {key: _inlined(value, parts) for key, value in {**text, **whole}.items()}
