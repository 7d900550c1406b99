"""The base of every model on the wire: snake_case in Python, camelCase outside, unknown fields refused."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


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
