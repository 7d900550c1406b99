"""What a request prefers: a number for the probability mode, the nearest trained scenario for the text mode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from disrouter.scenario import Scenario, nearest
from disrouter_sidecar.routes import RouteTable


@dataclass(frozen=True)
class Wish:
    """One preference in both of its forms."""

    scenario: Scenario
    alpha: float
    """Preference factor in [0, 1] as it was asked for; larger weighs cost more (section 2.1)."""

    @classmethod
    def of_scenario(cls, scenario: Scenario) -> Self:
        """A scenario by name stands for its own alpha."""
        return cls(scenario, scenario.alpha)

    @classmethod
    def of_preference(cls, alpha: float) -> Self:
        """Any number in [0, 1]. Raises InvalidRequest outside it."""
        return cls(nearest(alpha), alpha)

    @classmethod
    def of_table(cls, table: RouteTable) -> Self:
        """What a request without a wish gets."""
        if table.preference is None:
            return cls.of_scenario(table.scenario)
        return cls.of_preference(table.preference)
