"""The route table as a sidecar holds it: the contract's (`disrouter.routes`), field by field, as plain values.

Validation takes pydantic, and pydantic takes 13 MiB beside every replica; `reading` does without where it can.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from disrouter.scenario import Scenario, nearest
from disrouter.terms import Awareness, FallbackPolicy, PreferenceEncoding, competence


@dataclass(frozen=True, slots=True)
class Timeouts:
    """`disrouter.routes.Timeouts`."""

    connect: float = 2.0
    first_byte: float = 60.0
    idle: float = 60.0
    chain: float = 600.0
    whole: float | None = None


@dataclass(frozen=True, slots=True)
class Retries:
    """`disrouter.routes.Retries`."""

    ratio: float = 0.2
    burst: int = 100


@dataclass(frozen=True, slots=True)
class Breaker:
    """`disrouter.routes.Breaker`."""

    failures: int = 5
    open_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class Fallback:
    """`disrouter.routes.Fallback`."""

    policy: FallbackPolicy = FallbackPolicy.BEST_EFFORT
    retry_after: int = 5


@dataclass(frozen=True, slots=True)
class JumpRoute:
    """`disrouter.routes.JumpRoute`."""

    to: str
    below: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """`disrouter.calibration.Calibration`; `points` are (refusal, competence)."""

    token: str
    points: tuple[tuple[float, float], ...]
    scenario: Scenario = Scenario.BALANCE

    def competence(self, refusal: float) -> float:
        """Estimated chance in [0, 1] that an answer is right."""
        return competence(self.points, refusal)


@dataclass(frozen=True, slots=True)
class ProbabilityRoute:
    """`disrouter.routes.ProbabilityRoute`."""

    calibration: Calibration
    gamma: float = 0.5
    jump: JumpRoute | None = None


@dataclass(frozen=True, slots=True)
class AdapterRoute:
    """`disrouter.routes.AdapterRoute`."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class AgentRoute:
    """`disrouter.routes.AgentRoute`."""

    url: str
    cost: float
    awareness: Awareness
    next: str | None = None
    probability: ProbabilityRoute | None = None
    adapter: AdapterRoute | None = None
    preference_encoding: PreferenceEncoding | None = None


@dataclass(frozen=True, slots=True)
class RouteTable:
    """`disrouter.routes.RouteTable`."""

    generation: int
    cascade: str
    entrypoint: str
    agents: Mapping[str, AgentRoute]
    scenario: Scenario = Scenario.BALANCE
    preference: float | None = None
    max_hops: int = 16
    timeouts: Timeouts = Timeouts()
    retries: Retries = Retries()
    breaker: Breaker = Breaker()
    fallback: Fallback = Fallback()

    def path_from(self, start: str) -> list[str]:
        """Agents from `start`, which the table must have, to the one that always answers."""
        path = [start]
        while (name := self.agents[path[-1]].next) is not None:
            path.append(name)
        return path

    def path(self) -> list[str]:
        """Agents from the entry to the one that always answers."""
        return self.path_from(self.entrypoint)

    @property
    def default_scenario(self) -> Scenario:
        """What a request without a wish gets; a preference outranks the scenario."""
        return self.scenario if self.preference is None else nearest(self.preference)
