"""The route table: which agent is where, what it costs and who is next. The operator writes it, sidecars read it.

It travels as `routes.json` in the ConfigMap `<cascade>-routes`. `version` is the format's; `generation` is the
cascade's, so that a sidecar can say which manifest it serves. Routing is data: changing it restarts no pod, so a
sidecar may be older than the operator whose table it reads.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, Self

from pydantic import ConfigDict, Field, StrictFloat, ValidationError, model_validator

from disrouter.errors import InvalidRouteTable
from disrouter.model import Model
from disrouter.scenario import Scenario, nearest

ROUTES_FILE = "routes.json"


class Awareness(StrEnum):
    """How an agent decides: `trained` weights, a `prompted` base model, or `none` - it always answers."""

    TRAINED = "trained"
    PROMPTED = "prompted"
    NONE = "none"


_MAX_SECONDS = 86400


class _Read(Model):
    """Read by sidecars older than its writer: they ignore fields they do not know, `version` guards the rest."""

    model_config = ConfigDict(extra="ignore")


class Timeouts(_Read):
    """Seconds. `first_byte` bounds the wait for an agent's first byte, `idle` the gap between later ones."""

    connect: StrictFloat = Field(default=2.0, gt=0, le=_MAX_SECONDS)
    first_byte: StrictFloat = Field(default=60.0, gt=0, le=_MAX_SECONDS)
    idle: StrictFloat = Field(default=60.0, gt=0, le=_MAX_SECONDS)
    chain: StrictFloat = Field(default=600.0, gt=0, le=_MAX_SECONDS)


class AgentRoute(_Read):
    """One agent as the others see it: an address, a price, a successor."""

    url: str = Field(pattern=r"^https?://[^\s/]+$", description="Base address without a path.")
    cost: float = Field(ge=0, le=1)
    awareness: Awareness
    next: str | None = None


class RouteTable(_Read):
    """The whole cascade as data."""

    version: Literal[1] = 1
    generation: int = Field(ge=0)
    cascade: str
    entry: str
    scenario: Scenario = Scenario.BALANCE
    preference: float | None = Field(default=None, ge=0, le=1)
    max_hops: int = Field(default=16, ge=1, le=64)
    timeouts: Timeouts = Timeouts()
    agents: dict[str, AgentRoute] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.entry not in self.agents:
            raise ValueError(f"entry {self.entry!r} is not among the agents {sorted(self.agents)}")
        for name, route in self.agents.items():
            if route.next is not None and route.next not in self.agents:
                raise ValueError(f"agents.{name}.next {route.next!r} is not among the agents {sorted(self.agents)}")
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
        return self.path_from(self.entry)

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
