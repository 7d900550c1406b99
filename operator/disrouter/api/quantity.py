"""Kubernetes resource requirements, as much of them as a cascade's containers need."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from disrouter.model import Model

QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$"
"""Kubernetes' quantities without sign, exponent and the suffixes below a thousandth."""
RESOURCE_NAME = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"


_DECIMAL = {
    "n": "1e-9",
    "u": "1e-6",
    "m": "1e-3",
    "": "1",
    "k": "1e3",
    "M": "1e6",
    "G": "1e9",
    "T": "1e12",
    "P": "1e15",
    "E": "1e18",
}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}


def number(quantity: str) -> Decimal:
    """`1.5Gi`, `500m` or `2` as a number. Raises ValueError for what is no quantity."""
    unit = quantity[-2:] if quantity[-2:] in _BINARY else quantity[-1:] if quantity[-1:].isalpha() else ""
    try:
        scale = Decimal(1024) ** _BINARY[unit] if unit in _BINARY else Decimal(_DECIMAL[unit])
        return Decimal(quantity.removesuffix(unit)) * scale
    except (InvalidOperation, KeyError):
        raise ValueError(f"{quantity!r} is no quantity; write for example 2, 500m or 8Gi") from None


def _text(value: Any) -> Any:
    """Whole numbers as text. API servers take a fraction only in quotes, so nothing else is taken here."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ValueError("is no quantity; write a whole number, or text such as '500m' or 8Gi")


Quantity = Annotated[
    str,
    BeforeValidator(_text),
    Field(pattern=QUANTITY, max_length=32),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": QUANTITY, "maxLength": 32, "minimum": 0}),
]
ResourceName = Annotated[str, Field(pattern=RESOURCE_NAME, max_length=317)]
Quantities = Annotated[dict[ResourceName, Quantity], Field(max_length=16)]


class ResourceRequirements(Model):
    """Kubernetes resource requirements: quantities by resource name."""

    requests: Quantities | None = None
    """What the scheduler sets aside, for example `{cpu: 2, memory: 8Gi}`."""
    limits: Quantities | None = None
    """What the container may use at most, for example `{nvidia.com/gpu: 1}`."""
