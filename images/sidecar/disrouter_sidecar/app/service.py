"""The sidecar without HTTP: what outlives its requests, and what a request means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from disrouter.names import HEADER_DEADLINE, HEADER_PATH
from disrouter.routes import AdapterRoute, RouteTable
from disrouter_sidecar.agents.engine import Engine
from disrouter_sidecar.agents.next_hop import Hops
from disrouter_sidecar.cascade.neighbours import Lasting
from disrouter_sidecar.cascade.request import Call, Visit
from disrouter_sidecar.cascade.walk import Means
from disrouter_sidecar.config import Config
from disrouter_sidecar.errors import Rejected
from disrouter_sidecar.http.memory_limits import REPLY_BYTES, REQUEST_BYTES, Memory
from disrouter_sidecar.http.ports import Client, Upstream
from disrouter_sidecar.openai.preference import wish_of_headers
from disrouter_sidecar.openai.query import parse
from disrouter_sidecar.request.context import Asked
from disrouter_sidecar.request.deadline import parse_deadline
from disrouter_sidecar.request.itinerary import Guide, parse_path
from disrouter_sidecar.routes.reload import RouteHolder
from disrouter_sidecar.security.auth import Gate
from disrouter_sidecar.telemetry.logs import Tell, tell
from disrouter_sidecar.telemetry.metrics import Metrics
from disrouter_sidecar.telemetry.tracing import OFF, Tracing


@dataclass
class Service:
    """One agent's sidecar."""

    config: Config
    holder: RouteHolder
    metrics: Metrics
    upstream: Upstream
    neighbours: Upstream
    """The same for other agents: with TLS they are trusted by another authority."""
    gate: Gate
    clock: Callable[[], float]
    tracing: Tracing = OFF
    tell: Tell = tell
    """Writes one line a request."""
    draining: bool = False
    requests: Memory = field(default_factory=lambda: Memory(REQUEST_BYTES, "request"))
    replies: Memory = field(default_factory=lambda: Memory(REPLY_BYTES, "reply"))
    watched: list[Callable[[], object]] = field(default_factory=list)
    """What else is to be looked at when mounted files may have changed."""
    lasting: Lasting = field(init=False)
    means: Means = field(init=False)
    """What the walks of all requests share."""
    _guide: Guide | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.lasting = Lasting(self.config, self.upstream, self.clock)
        self.metrics.follow(
            lambda: float(self.lasting.breakers.open()), lambda: self.lasting.adapters.problem is not None
        )
        engine = Engine(self.config, self.upstream, self.lasting.adapters, self.metrics)
        hops = Hops(self.neighbours, self.gate.hop_headers)
        self.means = Means(self.config.agent, engine, hops, self.lasting, self.metrics, self.clock)

    def refresh(self) -> None:
        """Look whether mounted files have changed; what cannot be used is told and the last good one kept."""
        self.holder.poll()
        self.gate.poll()
        for look in self.watched:
            look()

    def table(self) -> RouteTable:
        """The current route table. Raises Rejected (503) while there is none."""
        if self.holder.table is None:
            raise Rejected(503, "not_ready", f"this agent cannot route yet: {self.holder.problem}; try again shortly")
        return self.holder.table

    def guide(self) -> Guide:
        """The same, with what is made of it once. Raises Rejected (503)."""
        table, guide = self.table(), self._guide
        if guide is None or guide.table is not table:
            guide = self._guide = Guide(table, self.config.agent)
        return guide

    def wanted_adapter(self) -> AdapterRoute | None:
        """The adapter that the route table names for this agent."""
        route = None if self.holder.table is None else self.holder.table.agents.get(self.config.agent)
        return None if route is None else route.adapter

    def answer(self, call: Call, client: Client) -> None:
        """Answer one request, by callbacks; everything that goes wrong is told to the client."""
        Visit(self, call, client).begin()

    def turned_away(self, api: str, request_id: str, error: Rejected) -> None:
        """A request that was not even read: without a key, or for want of memory."""
        self.metrics.ended(error.code)
        self.tell(api, {"request_id": request_id, "agent": self.config.agent, "outcome": error.code})

    def understand(self, call: Call) -> Asked:
        """What every step of its way reads. Raises Rejected or InvalidRequest."""
        guide = self.guide()
        headers, table = call.headers, guide.table
        visited = parse_path(headers.get(HEADER_PATH))
        deadline = parse_deadline(headers.get(HEADER_DEADLINE))
        wish = wish_of_headers(headers)
        query = parse(call.raw, call.dialect, table)
        way, free = guide.itinerary(visited, query.pinned), query.pinned is None
        if not call.dialect.instructable(query.fields):
            way, free = way.to_the_end(), False
        chosen = query.wish or wish or guide.wish if free else None
        scenario = None if chosen is None else chosen.scenario
        return Asked(query, guide, table, way, visited, scenario, chosen, headers, call.request_id, deadline)
