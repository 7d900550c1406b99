"""Requests that are passed to the agent that they name (`openai.pass_through`), over what all requests share."""

from __future__ import annotations

from collections.abc import Callable

from disrouter.names import HEADER_DEADLINE, HEADER_PATH
from disrouter_sidecar.agents.engine_cap import CappedEngine
from disrouter_sidecar.agents.next_hop import Hops
from disrouter_sidecar.agents.pass_through import PassThroughEngine, PassThroughHop
from disrouter_sidecar.app.service import Service
from disrouter_sidecar.cascade.chain_run import Dependencies
from disrouter_sidecar.cascade.inbound_request import Call, InboundRequest
from disrouter_sidecar.http.ports import Client
from disrouter_sidecar.openai.pass_through.request import parse_named
from disrouter_sidecar.request.context import RequestContext
from disrouter_sidecar.request.deadline import parse_deadline
from disrouter_sidecar.request.itinerary import parse_path
from disrouter_sidecar.telemetry.logs import RequestLog
from disrouter_sidecar.telemetry.tracing import Tracing


class PassThroughService:
    """`Sidecar` of such requests: each is pinned, so its run has one agent to ask."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.config = service.config
        self.reply_memory = service.reply_memory
        self.metrics = service.metrics
        self.tool_loops = service.tool_loops
        self.decisions = service.decisions
        neighbours = service.neighbours
        engine = PassThroughEngine(
            service.config, service.upstream, neighbours.adapters, neighbours.abilities, service.metrics
        )
        capped = CappedEngine(engine, service.config.agent, neighbours.inflight)
        hops = Hops(service.hop_upstream, service.authenticator.hop_headers, PassThroughHop)
        self.dependencies = Dependencies(service.config.agent, capped, hops, neighbours, service.metrics, service.clock)

    @property
    def clock(self) -> Callable[[], float]:
        """The service's."""
        return self._service.clock

    @property
    def tracing(self) -> Tracing:
        """The service's."""
        return self._service.tracing

    @property
    def request_log(self) -> RequestLog:
        """The service's."""
        return self._service.request_log

    def kept_decisions(self) -> int:
        """The service's."""
        return self._service.kept_decisions()

    def answer(self, call: Call, client: Client) -> None:
        """Answer one request, by callbacks; every error becomes a reply to the client."""
        InboundRequest(self, call, client).start()

    def context_of(self, call: Call) -> RequestContext:
        """Parse and check a request. Raises Rejected or InvalidRequest."""
        guide, headers = self._service.guide(), call.headers
        visited, deadline = parse_path(headers.get(HEADER_PATH)), parse_deadline(headers.get(HEADER_DEADLINE))
        query = parse_named(call.raw, headers.get("content-type"), call.dialect, guide.table)
        itinerary = guide.itinerary(visited, query.pinned)
        return RequestContext(
            query, guide, guide.table, itinerary, visited, None, None, headers, call.request_id, deadline
        )
