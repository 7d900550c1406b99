"""The Answer template of Table 8."""

from __future__ import annotations

from typing import NamedTuple

THINK = "Let's think step by step: "
FINAL = "The final answer is: "


class Parts(NamedTuple):
    """A reply taken apart."""

    thinking: str
    final: str

    @property
    def filled(self) -> str:
        """In the template."""
        return f"{THINK}{self.thinking}. {FINAL}{self.final}."
