"""The route table: which agent is where, what it costs and who is next. The operator writes it, sidecars read it.

It travels as `routes.json` in the ConfigMap `<cascade>-routes`. `version` is the format's; `generation` is the
cascade's, so that a sidecar can say which manifest it serves. Routing is data: changing it restarts no pod, so a
sidecar may be older than the operator whose table it reads.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import ConfigDict, Field, StrictFloat, StrictInt, ValidationError, model_validator

from disrouter.calibration import Calibration
from disrouter.errors import InvalidRouteTable
from disrouter.model import Model
from disrouter.scenario import Scenario, nearest
from disrouter.terms import MAX_GAMMA, MAX_GENERATION, Awareness, DecisionMode, FallbackPolicy, PreferenceEncoding

__all__ = [
    "ROUTES_FILE",
    "AdapterRoute",
    "AgentRoute",
    "Awareness",
    "Breaker",
    "DecisionMode",
    "Fallback",
    "FallbackPolicy",
    "JumpRoute",
    "ProbabilityRoute",
    "Retries",
    "RouteTable",
    "Timeouts",
]  # fmt: skip

ROUTES_FILE = "routes.json"


_MAX_SECONDS = 86400


class _Read(Model):
    """Read by sidecars older than its writer: they ignore fields they do not know, `version` guards the rest."""

    model_config = ConfigDict(extra="ignore")


class Timeouts(_Read):
    """Seconds. `first_byte` bounds the wait for a stream's first byte, `idle` the gap between later ones."""

    connect: StrictFloat = Field(default=2.0, gt=0, le=_MAX_SECONDS)
    first_byte: StrictFloat = Field(default=60.0, gt=0, le=_MAX_SECONDS)
    idle: StrictFloat = Field(default=60.0, gt=0, le=_MAX_SECONDS)
    chain: StrictFloat = Field(default=600.0, gt=0, le=_MAX_SECONDS)
    whole: StrictFloat | None = Field(default=None, gt=0, le=_MAX_SECONDS)
    """Wait for one agent's answer that is no stream and so comes all at once; absent: what `chain` leaves."""


class Retries(_Read):
    """How much extra load retries and failovers may make: `ratio` of the requests, never less than `burst` at once.

    A request asks each agent once at most, so the burst may be large: an engine that dies fails all that it was at.
    """

    ratio: StrictFloat = Field(default=0.2, ge=0, le=10)
    burst: StrictInt = Field(default=100, ge=0, le=10000)


class Breaker(_Read):
    """When a failing agent is left alone: after `failures` in a row, for `open_seconds`, then one probe decides."""

    failures: StrictInt = Field(default=5, ge=1, le=1000)
    open_seconds: StrictFloat = Field(default=10.0, gt=0, le=_MAX_SECONDS)


class Fallback(_Read):
    """What a request gets when every agent that could still answer has failed."""

    policy: FallbackPolicy = FallbackPolicy.BEST_EFFORT
    """`best-effort`: the costliest agent before them that is up must answer; `fail`: 503 with Retry-After."""
    retry_after: StrictInt = Field(default=5, ge=1, le=3600)
    """Seconds that a 503 asks its client to wait."""


class JumpRoute(_Read):
    """Who gets a query at once whose estimated competence lies under `below`."""

    to: str
    below: float = Field(ge=0, le=1)


class ProbabilityRoute(_Read):
    """Decide by the refusal's chance at the first token."""

    calibration: Calibration
    gamma: float = Field(default=0.5, ge=0, le=MAX_GAMMA)
    """Exponent of the threshold (1 - alpha) ** gamma."""
    jump: JumpRoute | None = None


class AdapterRoute(_Read):
    """A LoRA adapter that the agent's own sidecar loads into its engine before it asks for it."""

    name: str = Field(min_length=1, max_length=128)
    path: str = Field(min_length=1, max_length=1024)


class AgentRoute(_Read):
    """One agent as the others see it: an address, a price, a successor."""

    url: str = Field(pattern=r"^https?://[^\s/]+$", description="Base address without a path.")
    cost: float = Field(ge=0, le=1)
    awareness: Awareness
    next: str | None = None
    probability: ProbabilityRoute | None = None
    """Absent: the decision is read in the text."""
    adapter: AdapterRoute | None = None
    preference_encoding: PreferenceEncoding | None = None
    """How its weights were taught to be told a preference; absent: by the three scenarios."""


class RouteTable(_Read):
    """The whole cascade as data."""

    version: Literal[1] = 1
    generation: int = Field(ge=0, le=MAX_GENERATION)
    cascade: str
    entrypoint: str
    scenario: Scenario = Scenario.BALANCE
    preference: float | None = Field(default=None, ge=0, le=1)
    max_hops: int = Field(default=16, ge=1, le=64)
    timeouts: Timeouts = Timeouts()
    retries: Retries = Retries()
    breaker: Breaker = Breaker()
    fallback: Fallback = Fallback()
    agents: dict[str, AgentRoute] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.entrypoint not in self.agents:
            raise ValueError(f"entrypoint {self.entrypoint!r} is not among the agents {sorted(self.agents)}")
        for name, route in self.agents.items():
            if route.next is not None and route.next not in self.agents:
                raise ValueError(f"agents.{name}.next {route.next!r} is not among the agents {sorted(self.agents)}")
            jump = route.probability.jump if route.probability is not None else None
            if jump is not None and jump.to not in self.agents:
                raise ValueError(f"agents.{name} jumps to {jump.to!r}, not among the agents {sorted(self.agents)}")
        for name in self.agents:
            self.path_from(name)
        return self

    def path_from(self, start: str) -> list[str]:
        """Agents from `start`, which the table must have, to the one that always answers."""
        path, name = [start], self.agents[start].next
        while name is not None:
            if name in path:
                raise ValueError(f"agents form a cycle: {' -> '.join([*path, name])}")
            path.append(name)
            name = self.agents[name].next
        return path

    def path(self) -> list[str]:
        """Agents from the entry to the one that always answers."""
        return self.path_from(self.entrypoint)

    @property
    def default_scenario(self) -> Scenario:
        """What a request without a wish gets; a preference outranks the scenario."""
        return self.scenario if self.preference is None else nearest(self.preference)

    def to_json(self) -> str:
        """Stable text: equal tables are equal strings, so an unchanged ConfigMap is not written again."""
        return self.model_dump_json(indent=2, by_alias=True, exclude_none=True) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> RouteTable:
        """Parse and check. Raises InvalidRouteTable with every reason on one line."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            reasons = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
            raise InvalidRouteTable(reasons) from None
