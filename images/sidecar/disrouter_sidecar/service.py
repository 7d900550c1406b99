"""The sidecar without HTTP: what a request means, who answers it, what is counted and logged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from disrouter.errors import InvalidRequest
from disrouter.names import HEADER_AGENT, HEADER_DEADLINE, HEADER_HOPS, HEADER_PATH, HEADER_REFUSED, HEADER_REQUEST_ID
from disrouter.routes import AdapterRoute, RouteTable
from disrouter_sidecar.api.dialect import Dialect
from disrouter_sidecar.api.query import parse
from disrouter_sidecar.api.wishes import wish_of_headers
from disrouter_sidecar.asked import Asked
from disrouter_sidecar.attempt import Answer
from disrouter_sidecar.auth import Gate
from disrouter_sidecar.budget import Budget, parse_deadline
from disrouter_sidecar.chain import Guide, parse_path
from disrouter_sidecar.config import Config
from disrouter_sidecar.engine import Engine
from disrouter_sidecar.errors import ClientGone, Rejected
from disrouter_sidecar.hop import Hop
from disrouter_sidecar.lasting import Lasting
from disrouter_sidecar.logs import Tell, tell
from disrouter_sidecar.memory import REPLY_BYTES, REQUEST_BYTES, Memory, Take
from disrouter_sidecar.metrics import Metrics
from disrouter_sidecar.ports import Client, Headers, Upstream
from disrouter_sidecar.relay import relay
from disrouter_sidecar.replies import JSON
from disrouter_sidecar.table import RouteHolder
from disrouter_sidecar.tracing import OFF, Tracing
from disrouter_sidecar.usage import itemised
from disrouter_sidecar.walk import Walk

Facts = dict[str, object]
"""What the log and the span tell of a request: names and numbers, never words or keys."""


class Call(NamedTuple):
    """One request as it came in."""

    dialect: Dialect
    raw: bytes
    headers: Mapping[str, str]
    request_id: str


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
    _guide: Guide | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.lasting = Lasting(self.config, self.upstream, self.clock)
        self.metrics.follow(self.lasting)

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

    async def answer(self, call: Call, client: Client) -> None:
        """Answer one request. Raises Rejected or InvalidRequest before anything was sent, ClientGone after."""
        started = self.clock()
        facts: Facts = {"request_id": call.request_id, "agent": self.config.agent, "outcome": "internal_error"}
        self.metrics.inflight += 1
        with self.tracing.serve(f"{call.dialect.name} {self.config.cascade}", call.headers) as span:
            try:
                await self._observed(call, client, facts)
            finally:
                self.metrics.inflight -= 1
                facts["milliseconds"] = round((self.clock() - started) * 1000, 2)
                span.sum_up(call.dialect.name, facts)
                self.tell(call.dialect.name, facts)

    async def _observed(self, call: Call, client: Client, facts: Facts) -> None:
        """What came of it, as the log's and the span's `outcome`."""
        try:
            with self.replies.share() as take:
                facts["outcome"] = await self._answer(call, client, facts, take)
        except (asyncio.CancelledError, ClientGone):
            facts["outcome"] = "client_gone"
            raise
        except Rejected as error:
            facts["outcome"] = error.code
            raise
        except InvalidRequest as error:
            facts["outcome"], facts["param"] = "invalid_request", error.param
            raise

    async def _answer(self, call: Call, client: Client, facts: Facts, take: Take) -> str:
        started = self.clock()
        asked = self._understand(call)
        facts.update(
            model=asked.query.model, stream=asked.query.stream, scenario=asked.scenario, pinned=asked.itinerary.pinned
        )
        walk = self._walk(asked, take)
        self.metrics.overhead(self.clock() - started)
        try:
            answer, ours = await walk.run()
        finally:
            facts["path"] = ",".join(walk.trail)
            if walk.skipped:
                facts["skipped"] = {agent: failure.reason for agent, failure in walk.skipped.items()}
        if not asked.visited:
            answer = _itemised(answer, ours)
        facts.update(_told(ours), status=answer.reply.status)
        head = {**ours, HEADER_REQUEST_ID: asked.request_id}
        broken = await relay(answer, client, head, asked.table.timeouts.idle)
        return "answer" if broken is None else f"broken_{broken.reason}"

    def _walk(self, asked: Asked, take: Take) -> Walk:
        timeouts, stream = asked.table.timeouts, asked.query.stream
        budget = Budget(timeouts, self.clock, take, stream=stream, asked=asked.deadline)
        engine = Engine(asked, self.config, self.upstream, self.lasting.adapters, self.metrics, budget)
        hop = Hop(asked, self.neighbours, budget, self.gate.hop_headers())
        return Walk(asked, self.config.agent, engine, hop, budget, self.lasting, self.metrics, self.clock)

    def _understand(self, call: Call) -> Asked:
        guide = self.guide()
        visited = parse_path(call.headers.get(HEADER_PATH))
        deadline = parse_deadline(call.headers.get(HEADER_DEADLINE))
        wish = wish_of_headers(call.headers)
        query = parse(call.raw, call.dialect, guide.table)
        way = guide.itinerary(visited, query.pinned)
        if not query.instructable:
            way = way.to_the_end()
        free = query.pinned is None and query.instructable
        chosen = query.wish or wish or guide.wish if free else None
        return Asked(query, guide.table, way, visited, chosen, call.headers, call.request_id, deadline, self.tracing)


def _itemised(answer: Answer, ours: Headers) -> Answer:
    """At the entry, a whole answer with what those before it have used; a stream's bytes stay as they are."""
    refused, headers = ours.get(HEADER_REFUSED), answer.reply.headers
    is_json = headers.get("content-type", "").startswith(JSON) and "content-encoding" not in headers
    if refused is None or not answer.ended or not is_json or answer.reply.status != 200:
        return answer
    return answer._replace(held=itemised(answer.held, ours.get(HEADER_PATH, ""), refused))


def _told(headers: Headers) -> dict[str, object]:
    """What the answering hop says of itself, for the log."""
    return {
        "answered_by": headers.get(HEADER_AGENT),
        "path": headers.get(HEADER_PATH),
        "hops": headers.get(HEADER_HOPS),
    }
