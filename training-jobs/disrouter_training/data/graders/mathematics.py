"""Numbers and expressions by math-verify, the checker that the field's leaderboards use."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from math_verify import parse, verify
from math_verify.parser import ExprExtractionConfig, LatexExtractionConfig

MAX_ANSWER = 256
"""Characters; longer answers are babble, and parsing them takes long."""
_KINDS = (LatexExtractionConfig(), ExprExtractionConfig())


class Mathematics:
    """Equal in value: `1,234` and `1234`, `1/2` and `0.5`, `$72.00 in all` and `72`."""

    def problem(self, expected: str) -> str | None:
        """Must hold a value."""
        return None if _values(expected) else f"no number in {expected[:40]!r}"

    def correct(self, expected: str, final: str) -> bool:
        """Whether the values are one."""
        found = _values(final)
        return bool(found) and bool(verify(list(_values(expected)), list(found)))


@lru_cache(maxsize=65536)
def _values(text: str) -> tuple[Any, ...]:
    """What the text says, parsed; the same few hundred answers come again and again in training."""
    if len(text) > MAX_ANSWER:
        return ()
    return tuple(parse(text, extraction_config=_KINDS, fallback_mode="no_fallback"))
