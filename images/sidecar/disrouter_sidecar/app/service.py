"""The sidecar without HTTP: what its requests share, and how a request is parsed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from disrouter.names import HEADER_DEADLINE, HEADER_PATH
from disrouter.routes import AdapterRoute, RouteTable
from disrouter_sidecar.agents.engine import Engine, LocalEngine
from disrouter_sidecar.agents.engine_cap import CappedEngine
from disrouter_sidecar.agents.next_hop import Hops
from disrouter_sidecar.cascade.chain_run import Dependencies
from disrouter_sidecar.cascade.head_start import HeadStart
from disrouter_sidecar.cascade.inbound_request import Call, InboundRequest
from disrouter_sidecar.cascade.neighbours import Neighbours
from disrouter_sidecar.cascade.tool_loops import ToolLoops
from disrouter_sidecar.config import Config
from disrouter_sidecar.errors import Rejected
from disrouter_sidecar.http.memory_limits import REPLY_BYTES, REQUEST_BYTES, MemoryLimit
from disrouter_sidecar.http.ports import Client, Upstream
from disrouter_sidecar.openai.preference import preference_of_headers
from disrouter_sidecar.openai.query import Query, parse
from disrouter_sidecar.request.context import RequestContext
from disrouter_sidecar.request.deadline import parse_deadline
from disrouter_sidecar.request.itinerary import Guide, Itinerary, parse_path
from disrouter_sidecar.routes.reload import RouteHolder
from disrouter_sidecar.security.auth import Authenticator
from disrouter_sidecar.telemetry.decisions import DecisionMemory
from disrouter_sidecar.telemetry.logs import STANDARD, RequestLog
from disrouter_sidecar.telemetry.metrics import Metrics
from disrouter_sidecar.telemetry.tracing import OFF, Tracing


@dataclass
class Service:
    """One agent's sidecar."""

    config: Config
    holder: RouteHolder
    metrics: Metrics
    upstream: Upstream
    hop_upstream: Upstream
    """For the sidecars of other agents, which TLS verifies by another authority."""
    authenticator: Authenticator
    clock: Callable[[], float]
    tracing: Tracing = OFF
    request_log: RequestLog = STANDARD
    """Writes one line per request."""
    draining: bool = False
    entered: bool = True
    """Clients' requests enter at this agent, as far as its route table says."""
    request_memory: MemoryLimit = field(default_factory=lambda: MemoryLimit(REQUEST_BYTES, "request"))
    reply_memory: MemoryLimit = field(default_factory=lambda: MemoryLimit(REPLY_BYTES, "reply"))
    watched: list[Callable[[], object]] = field(default_factory=list)
    """Called at each look at mounted files."""
    tool_loops: ToolLoops = field(default_factory=ToolLoops)
    decisions: DecisionMemory = field(default_factory=DecisionMemory)
    neighbours: Neighbours = field(init=False)
    dependencies: Dependencies = field(init=False)
    """What the runs of all requests share."""
    _engines: tuple[Engine, CappedEngine] = field(init=False)
    _guide: Guide | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.neighbours = Neighbours(self.config, self.upstream, self.clock)
        neighbours = self.neighbours
        self.metrics.follow(
            lambda: float(neighbours.breakers.open()),
            lambda: neighbours.adapters.problem is not None,
        )
        engine = Engine(self.config, self.upstream, neighbours.adapters, neighbours.abilities, self.metrics)
        self._engines = engine, CappedEngine(engine, self.config.agent, neighbours.inflight)
        hops = Hops(self.hop_upstream, self.authenticator.hop_headers)
        self.dependencies = Dependencies(self.config.agent, engine, hops, self.neighbours, self.metrics, self.clock)

    def refresh(self) -> None:
        """Read mounted files that have changed; what cannot be used is logged and the last good one kept."""
        self.holder.poll()
        self.entered = self.holder.current is None or self.holder.current.entrypoint == self.config.agent
        self.authenticator.poll()
        for look in self.watched:
            look()

    def closes(self, client: bool) -> bool:
        """Whether an answer to a client, or to another agent's sidecar, is its connection's last.

        A Service balances connections, not requests: a client that keeps its connection would stay with an agent that
        queries have left, which costs more.
        """
        return self.draining or (client and not self.entered)

    def table(self) -> RouteTable:
        """The current route table. Raises Rejected (503) while there is none."""
        if self.holder.current is None:
            raise Rejected(503, "not_ready", f"this agent cannot route yet: {self.holder.problem}; try again shortly")
        return self.holder.current

    def guide(self) -> Guide:
        """The current route table with what is made from it once. Raises Rejected (503)."""
        table, guide = self.table(), self._guide
        if guide is None or guide.table is not table:
            guide = self._guide = Guide(table, self.config.agent)
            self.dependencies.engine = self._engine_of(table)
        return guide

    def _engine_of(self, table: RouteTable) -> LocalEngine:
        """Without a cap nothing is counted."""
        free, capped = self._engines
        route = table.agents.get(self.config.agent)
        return free if route is None or route.max_inflight is None else capped

    def kept_decisions(self) -> int:
        """How many requests are remembered for whoever asks what was decided."""
        table = self.holder.current
        return 0 if table is None else table.kept_decisions

    def wanted_adapter(self) -> AdapterRoute | None:
        """The adapter that the route table names for this agent."""
        route = None if self.holder.current is None else self.holder.current.agents.get(self.config.agent)
        return None if route is None else route.adapter

    def answer(self, call: Call, client: Client, head_start: HeadStart | None = None) -> None:
        """Answer one request, by callbacks; every error becomes a reply to the client."""
        InboundRequest(self, call, client).start(head_start)

    def failed(self, call: Call, client: Client, error: Exception) -> None:
        """Answer one request with an error: of the client, or a bug."""
        InboundRequest(self, call, client).failed(error)

    def rejected(self, api: str, request_id: str, error: Rejected) -> None:
        """Count and log a request that was rejected unread: without a key, or for lack of memory."""
        self.metrics.ended(error.code)
        self.request_log.log(api, {"request_id": request_id, "agent": self.config.agent, "outcome": error.code})

    def context_of(self, call: Call) -> RequestContext:
        """Parse and check a request. Raises Rejected or InvalidRequest."""
        guide = self.guide()
        headers, table = call.headers, guide.table
        visited, deadline = parse_path(headers.get(HEADER_PATH)), parse_deadline(headers.get(HEADER_DEADLINE))
        preference = preference_of_headers(headers)
        query = parse(call.raw, call.dialect, table)
        itinerary, free = guide.itinerary(visited, query.pinned), query.pinned is None
        if not call.dialect.instructable(query.fields):
            itinerary, free = itinerary.to_the_end(), False
        continues = False
        if free and query.tools:
            itinerary, continues = self._continued(query, itinerary)
        chosen = query.preference or preference or guide.preference if free else None
        scenario = None if chosen is None else chosen.scenario
        return RequestContext(
            query, guide, table, itinerary, visited, scenario, chosen, headers, call.request_id, deadline, continues
        )

    def _continued(self, query: Query, itinerary: Itinerary) -> tuple[Itinerary, bool]:
        """From the agent that began the loop of tool calls which this request goes on with, if one did."""
        agent = self.tool_loops.began(query.dialect.turns(query.fields))
        if agent is None or agent not in itinerary.agents:
            return itinerary, False
        return itinerary.beginning(agent), True
