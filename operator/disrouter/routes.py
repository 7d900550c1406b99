"""The route table: which agent is where, what it costs and who is next. The operator writes it, sidecars read it.

It travels as `routes.json` in the ConfigMap `<cascade>-routes`. `version` is the format's; `generation` is the
cascade's, so that a sidecar can say which manifest it serves. Routing is data: changing it restarts no pod, so a
sidecar may be older than the operator whose table it reads. It ignores fields that it does not know, and `version`
guards the rest.

The structs are msgspec's, whose types are checked when a table is read and when one is written, not when one is made.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal, Self

import msgspec
from msgspec import Meta

from disrouter.calibration import Calibration
from disrouter.errors import InvalidRouteTable
from disrouter.scenario import Scenario
from disrouter.terms import (
    MAX_GAMMA,
    MAX_GENERATION,
    Awareness,
    DecisionMode,
    FallbackPolicy,
    PreferenceEncoding,
    UndecidablePolicy,
)

__all__ = [
    "ROUTES_FILE",
    "AdapterRoute",
    "AgentRoute",
    "AliasRoute",
    "Awareness",
    "Breaker",
    "Capabilities",
    "DecisionMode",
    "Fallback",
    "FallbackPolicy",
    "JumpRoute",
    "ProbabilityRoute",
    "Retries",
    "RouteTable",
    "Timeouts",
    "UndecidablePolicy",
]  # fmt: skip

ROUTES_FILE = "routes.json"

Seconds = Annotated[float, Meta(gt=0, le=86400)]
Share = Annotated[float, Meta(ge=0, le=1)]


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A JSON object of the table."""


class Timeouts(_Part, frozen=True, kw_only=True):
    """Seconds. `first_byte` bounds the wait for a stream's first byte, `idle` the gap between later ones."""

    connect: Seconds = 2.0
    first_byte: Seconds = 60.0
    idle: Seconds = 60.0
    chain: Seconds = 600.0
    whole: Seconds = 300.0
    """Wait for one agent's answer that is no stream and so comes all at once."""
    keep_alive: Annotated[float, Meta(ge=0, le=86400)] = 15.0
    """Silence after which a streaming client that no agent has answered yet gets a comment, and with it status 200 and
    no headers about the path; then one each time again. 0: never."""


class Retries(_Part, frozen=True, kw_only=True):
    """How much extra load retries and failovers may make: `ratio` of the requests, never less than `burst` at once.

    A request asks each agent once at most, so the burst may be large: an engine that dies fails all that it was at.
    """

    ratio: Annotated[float, Meta(ge=0, le=10)] = 0.2
    burst: Annotated[int, Meta(ge=0, le=10000)] = 100


class Breaker(_Part, frozen=True, kw_only=True):
    """When a failing agent is left alone: after `failures` in a row, for `open_seconds`, then one probe decides."""

    failures: Annotated[int, Meta(ge=1, le=1000)] = 5
    open_seconds: Seconds = 10.0


class Fallback(_Part, frozen=True, kw_only=True):
    """What a request gets when every agent that could still answer has failed."""

    policy: FallbackPolicy = FallbackPolicy.BEST_EFFORT
    """`best-effort`: the costliest agent before them that is up must answer; `fail`: 503 with Retry-After."""
    retry_after: Annotated[int, Meta(ge=1, le=3600)] = 5
    """Seconds that a 503 asks its client to wait."""


class JumpRoute(_Part, frozen=True, kw_only=True):
    """Who gets a query at once whose estimated competence lies under `below`."""

    to: str
    below: Share


class ProbabilityRoute(_Part, frozen=True, kw_only=True):
    """Decide by the refusal's chance at the first token."""

    calibration: Calibration
    gamma: Annotated[float, Meta(ge=0, le=MAX_GAMMA)] = 0.5
    """Exponent of the threshold (1 - alpha) ** gamma."""
    jump: JumpRoute | None = None


class AdapterRoute(_Part, frozen=True, kw_only=True):
    """A LoRA adapter that the agent's own sidecar loads into its engine before it asks for it."""

    name: Annotated[str, Meta(min_length=1, max_length=128)]
    path: Annotated[str, Meta(min_length=1, max_length=1024)]


class Capabilities(_Part, frozen=True, kw_only=True):
    """What an agent's engine can do; what is absent is learned from its errors. A request that needs what an agent
    lacks passes over it unasked."""

    images: bool | None = None
    audio: bool | None = None
    tools: bool | None = None
    structured_output: bool | None = None
    context_length: Annotated[int, Meta(ge=1, le=100_000_000)] | None = None
    """Tokens of prompt and answer together."""


class AliasRoute(_Part, frozen=True, kw_only=True):
    """What another name of a model stands for."""

    agent: str | None = None
    """The agent that must answer; absent: the cascade routes."""


class AgentRoute(_Part, frozen=True, kw_only=True):
    """One agent as the others see it: an address, a price, a successor."""

    url: Annotated[str, Meta(pattern=r"^https?://[^\s/]+\Z")]
    """Base address without a path."""
    cost: Share
    awareness: Awareness
    next: str | None = None
    probability: ProbabilityRoute | None = None
    """Absent: the decision is read in the text."""
    adapter: AdapterRoute | None = None
    preference_encoding: PreferenceEncoding | None = None
    """How its weights were taught to be told a preference; absent: by the three scenarios."""
    prompt_opens_reasoning: bool = False
    """Its chat template ends in an opened reasoning block, so that a reply begins inside it."""
    deferral_tool: bool = False
    """Where a request brings tools, it gets one more, whose call is a refusal."""
    capabilities: Capabilities = Capabilities()
    max_inflight: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    """Requests that each of its sidecars has at its engine at once; the next agent gets the others unasked."""


MAX_KEPT_DECISIONS = 65536


class RouteTable(_Part, frozen=True, kw_only=True):
    """The whole cascade as data."""

    version: Literal[1] = 1
    generation: Annotated[int, Meta(ge=0, le=MAX_GENERATION)]
    cascade: str
    entrypoint: str
    scenario: Scenario = Scenario.BALANCE
    preference: Share | None = None
    """Alpha; outranks the scenario."""
    max_hops: Annotated[int, Meta(ge=1, le=64)] = 16
    timeouts: Timeouts = Timeouts()
    retries: Retries = Retries()
    breaker: Breaker = Breaker()
    fallback: Fallback = Fallback()
    undecidable: UndecidablePolicy = UndecidablePolicy.FORWARD
    """What becomes of a reply that cannot be judged, while another agent is left."""
    aliases: Annotated[dict[Annotated[str, Meta(min_length=1, max_length=256)], AliasRoute], Meta(max_length=64)] = {}
    """Other names by which clients may ask for the cascade or one agent."""
    cors_origins: Annotated[list[Annotated[str, Meta(min_length=1, max_length=256)]], Meta(max_length=32)] = []
    """Origins whose pages may ask, `*` for all; none: browsers keep every page of another origin away."""
    kept_decisions: Annotated[int, Meta(ge=0, le=MAX_KEPT_DECISIONS)] = 2048
    """Requests whose decisions each sidecar remembers for whoever asks why, about a kilobyte for each; 0: none."""
    agents: Annotated[dict[str, AgentRoute], Meta(min_length=1)]

    def __post_init__(self) -> None:
        """Raises ValueError where a name leads nowhere, or agents lead round in circles."""
        agents = self.agents
        if self.entrypoint not in agents:
            raise ValueError(f"entrypoint {self.entrypoint!r} is not among the agents {sorted(agents)}")
        for name, route in agents.items():
            if route.next is not None and route.next not in agents:
                raise ValueError(f"agents.{name}.next {route.next!r} is not among the agents {sorted(agents)}")
            jump = route.probability.jump if route.probability is not None else None
            if jump is not None and jump.to not in agents:
                raise ValueError(f"agents.{name} jumps to {jump.to!r}, not among the agents {sorted(agents)}")
        for alias, known in self.aliases.items():
            if known.agent is not None and known.agent not in agents:
                raise ValueError(f"aliases.{alias} {known.agent!r} is not among the agents {sorted(agents)}")
        for name in agents:
            self.path_from(name)

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
        """Agents from the entrypoint to the one that always answers."""
        return self.path_from(self.entrypoint)

    def to_json(self) -> str:
        """Stable text: equal tables are equal strings, so an unchanged ConfigMap is not written again.

        Raises InvalidRouteTable: what no sidecar would read is not written.
        """
        plain = _without_none(msgspec.to_builtins(self))
        text = json.dumps(plain, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
        self.from_json(text)
        return text

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Parse and check. Raises InvalidRouteTable with the first field that is wrong and why, on one line."""
        try:
            decoded = text if isinstance(text, str) else text.decode()
            return msgspec.json.decode(decoded, type=cls)
        except msgspec.ValidationError as error:
            raise InvalidRouteTable(" ".join(_reason(decoded, str(error)).split())) from None
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise InvalidRouteTable(f"Invalid JSON: {error}") from None


_MISSING = re.compile(r"Object missing required field `(\w+)`")
_PLACE = re.compile(r" - at (?:`key` in )?`\$(.*)`$")
"""Where it is wrong, as msgspec says at the end."""
_ANY_KEY = "[...]"
"""What msgspec says instead of a key, which here is the name of an agent or an alias."""
_NAMED = {"agents": AgentRoute, "aliases": AliasRoute}


def _reason(text: str, message: str) -> str:
    """msgspec's message with the field in front, as `agents.small.cost: Expected ...`."""
    place = _PLACE.search(message)
    what, field = (message[: place.start()], place[1].removeprefix(".")) if place is not None else (message, "")
    if _ANY_KEY in field:
        named = field.partition(_ANY_KEY)[0]
        field = field.replace(_ANY_KEY, f".{_invalid_key(text, named)}", 1)
    if missing := _MISSING.match(what):
        field, what = f"{field}.{missing[1]}".removeprefix("."), "Field required"
    return f"{field}: {what}" if field else what


def _invalid_key(text: str, named: str) -> str:
    """The first of the agents or aliases that cannot be read, by its name."""
    for name, route in msgspec.json.decode(text)[named].items():
        try:
            msgspec.convert(route, _NAMED[named])
        except msgspec.ValidationError:
            return str(name)
    return "?"


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    return value
