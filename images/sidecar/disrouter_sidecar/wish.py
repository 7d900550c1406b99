"""What a request prefers: a number, and the trained scenario nearest to it for agents that know no numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from disrouter.scenario import Asked, Scenario, nearest
from disrouter.terms import Scenarios
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

    def told(self, taught: Scenarios | None) -> Asked:
        """What an agent is told: the number as it is, where the agent was taught numbers and no scenario has it."""
        exact = taught is Scenarios.CONTINUOUS and self.alpha != self.scenario.alpha
        return self.alpha if exact else self.scenario

    @classmethod
    def of_table(cls, table: RouteTable) -> Self:
        """What a request without a wish gets."""
        if table.preference is None:
            return cls.of_scenario(table.scenario)
        return cls.of_preference(table.preference)
