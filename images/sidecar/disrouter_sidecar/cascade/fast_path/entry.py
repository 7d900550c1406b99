"""Which requests are taken: plain chats, whole, whose agent is at rest and whose engine has a connection waiting."""

from __future__ import annotations

from time import monotonic
from typing import Protocol

from disrouter.errors import InvalidRequest
from disrouter.names import HEADER_DEADLINE, HEADER_REQUEST_ID
from disrouter.routes import AdapterRoute, RouteTable
from disrouter_sidecar.agents.abilities import Abilities
from disrouter_sidecar.cascade.chain_run import Dependencies
from disrouter_sidecar.cascade.fast_path.envelope import Envelope, envelope_of, is_worth_remembering, whole_envelope
from disrouter_sidecar.cascade.fast_path.first_text import find_text
from disrouter_sidecar.cascade.fast_path.plain_chat import PlainChat
from disrouter_sidecar.cascade.fast_path.plan import ODD, Plan, plan_of
from disrouter_sidecar.cascade.fast_path.run import FastRun, Wire
from disrouter_sidecar.cascade.fast_path.stream import FastStream
from disrouter_sidecar.cascade.head_start import HeadStart
from disrouter_sidecar.cascade.inbound_request import Call
from disrouter_sidecar.errors import Rejected
from disrouter_sidecar.headers import Headers, Lines
from disrouter_sidecar.http.client.upstream import HttpUpstream
from disrouter_sidecar.http.head import Head
from disrouter_sidecar.http.memory_limits import MemoryLimit, text_size
from disrouter_sidecar.http.ports import Client
from disrouter_sidecar.request.deadline import parse_deadline
from disrouter_sidecar.request.itinerary import Guide
from disrouter_sidecar.routes.reload import RouteHolder
from disrouter_sidecar.security.auth import Authenticator
from disrouter_sidecar.telemetry.decisions import DecisionMemory
from disrouter_sidecar.telemetry.logs import RequestLog, request_id
from disrouter_sidecar.telemetry.metrics import Metrics
from disrouter_sidecar.telemetry.tracing import OFF, Tracing

MAX_PLANS, MAX_ENVELOPES = 256, 128
_NO_TEXT = memoryview(b"")
MOST_LUCK = 16
"""Requests that were handed over, more than were answered, after which others go the general path at once."""
TRIES = 64
"""One in so many of those is taken all the same, to see whether it is worth it again."""


class Sidecar(Protocol):
    """What this path needs of the sidecar."""

    authenticator: Authenticator
    decisions: DecisionMemory
    dependencies: Dependencies
    holder: RouteHolder
    metrics: Metrics
    request_memory: MemoryLimit

    @property
    def tracing(self) -> Tracing: ...

    @property
    def request_log(self) -> RequestLog: ...

    def guide(self) -> Guide: ...

    def answer(self, call: Call, client: Client, head_start: HeadStart | None = None) -> None: ...

    def failed(self, call: Call, client: Client, error: Exception) -> None: ...


class FastPath:
    """`http.server.site.FastPath` of one sidecar."""

    def __init__(self, sidecar: Sidecar, upstream: HttpUpstream, hops: HttpUpstream) -> None:
        """`upstream` asks the engine, `hops` the sidecars of other agents."""
        self.sidecar = sidecar
        self.upstream = upstream
        self.hops = hops
        self._luck = MOST_LUCK
        self._passed = 0
        """Requests that were not taken for want of luck."""
        self._remembered = 0
        """Envelopes of all plans."""
        self._plans: dict[int, tuple[Head, Plan | None]] = {}
        """By the identity of a head, which lives as long as its plan."""
        self._table: RouteTable | None = None
        self._adapter: AdapterRoute | None = None
        self._engine_head: Lines | None = None

    def __call__(self, wire: Wire, head: Head, values: Headers, data: bytes, size: int) -> bool:
        """Ask the engine, where this is a plain chat; else nothing has happened."""
        began = monotonic()
        odd = self.sidecar.tracing is not OFF or (values and not ODD.isdisjoint(values))
        if odd or (self._luck <= 0 and self._passes()):
            return False
        try:
            plan = self._plan(head)
            if plan is None:
                return False
            chat = self._chat(plan, head, values, data, size)
        except (Rejected, InvalidRequest):
            return False  # the general path says so
        if chat is None or not self._has_room(plan, chat):
            return False
        connection = self.upstream.pool.take(plan.origin)
        if connection is None:
            return False
        run = (FastStream if chat.stream else FastRun)(self, wire, plan, chat, connection, began)
        wire.begin(run)
        run.ask()
        return True

    def ended(self, *, answered: bool) -> None:
        """A request was answered, or handed over. Where most are handed over, they are not worth the detour."""
        if not answered:
            self._luck = max(self._luck - 1, 0)
        elif self._luck < MOST_LUCK:
            self._luck += 1

    def _passes(self) -> bool:
        self._passed += 1
        return self._passed % TRIES != 0

    def _chat(self, plan: Plan, head: Head, values: Headers, data: bytes, size: int) -> PlainChat | None:
        """The request to the engine; None for more than a plain chat. Raises Rejected and InvalidRequest."""
        deadline = parse_deadline(values.get(HEADER_DEADLINE))
        authenticator = self.sidecar.authenticator
        if not (authenticator.open or authenticator.trusts({**head.headers, **values})):
            return None
        place = find_text(data, size)
        abilities = self.sidecar.dependencies.neighbours.abilities
        if place is None:
            envelope, text = whole_envelope(plan, abilities, data[size:]), _NO_TEXT
        else:
            envelope = self._envelope(plan, abilities, data[size : place[0]], data[place[1] :], len(data) - size)
            text = memoryview(data)[place[0] : place[1]]
        if envelope is None or (deadline is not None and deadline <= plan.least[envelope.stream]):
            return None
        asked = b"".join((envelope.start, text, envelope.end))
        number = request_id(values.get(HEADER_REQUEST_ID))
        start = f"{plan.start}{number}\r\ncontent-length: {len(asked)}\r\n\r\n".encode("latin-1")
        held = envelope.size + text_size(len(text))
        return PlainChat(
            head, values, data, size, number, start, asked, held, envelope.stream, envelope.expectation, deadline
        )

    def _envelope(self, plan: Plan, abilities: Abilities, before: bytes, after: bytes, length: int) -> Envelope | None:
        """The one that is remembered, if nothing else than its bytes counts. Raises Rejected and InvalidRequest."""
        if plan.bounded or abilities.known:
            return envelope_of(plan, abilities, before, after, length)
        key = (before, after)
        envelope = plan.envelopes.get(key)
        if envelope is None:
            envelope = envelope_of(plan, abilities, before, after, length)
            if envelope is not None and is_worth_remembering(before, after):
                self._remember(plan, key, envelope)
        return envelope

    def _remember(self, plan: Plan, key: tuple[bytes, bytes], envelope: Envelope) -> None:
        """With all others it is forgotten once there are too many."""
        self._remembered += 1
        if self._remembered > MAX_ENVELOPES:
            self._plans.clear()
            self._remembered = 0
        plan.envelopes[key] = envelope

    def _has_room(self, plan: Plan, chat: PlainChat) -> bool:
        memory = self.sidecar.request_memory
        return memory.used + chat.held <= memory.limit and plan.breaker.open_until is None

    def _plan(self, head: Head) -> Plan | None:
        """That of this head, made anew once anything has changed that plans are made from. Raises Rejected."""
        dependencies = self.sidecar.dependencies
        table, adapter = self.sidecar.holder.current, dependencies.neighbours.adapters.loaded
        engine_head = dependencies.engine.plain_head
        if table is not self._table or adapter is not self._adapter or engine_head is not self._engine_head:
            self._plans.clear()
            self._table, self._adapter, self._engine_head = table, adapter, engine_head
        planned = self._plans.get(id(head))
        if planned is not None:
            return planned[1]
        if len(self._plans) >= MAX_PLANS:
            self._plans.clear()
        plan = plan_of(head, self.sidecar.guide(), dependencies)
        self._plans[id(head)] = (head, plan)
        return plan
