"""What the plain chats behind one head have in common: found once, by the functions of the general path."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from disrouter.errors import InvalidRequest
from disrouter.names import HEADER_AGENT, HEADER_DEADLINE, HEADER_HOPS, HEADER_PATH, HEADER_REQUEST_ID
from disrouter.scenario import Scenario, StatedPreference
from disrouter.terms import Awareness
from disrouter_sidecar.agents.circuit_breaker import Breaker
from disrouter_sidecar.agents.engine import Engine
from disrouter_sidecar.agents.lora_adapter import Served
from disrouter_sidecar.cascade.chain_run import Dependencies
from disrouter_sidecar.cascade.neighbours import Neighbours
from disrouter_sidecar.headers import Headers, Lines
from disrouter_sidecar.http.client.origin import Origin, target_of
from disrouter_sidecar.http.head import Head
from disrouter_sidecar.openai import CHAT
from disrouter_sidecar.openai.errors import JSON
from disrouter_sidecar.openai.preference import Preference, preference_of_headers
from disrouter_sidecar.openai.query import Query
from disrouter_sidecar.request.context import RequestContext
from disrouter_sidecar.request.itinerary import Guide, Itinerary
from disrouter_sidecar.telemetry.line_template import HOLE, LineTemplate
from disrouter_sidecar.telemetry.metrics import ANSWER
from disrouter_sidecar.telemetry.tracing import TRACE_HEADERS

if TYPE_CHECKING:
    from disrouter_sidecar.cascade.fast_path.envelope import Envelope

PATH = f"/v1{CHAT.path}"
ODD = frozenset((HEADER_DEADLINE, HEADER_PATH, "content-encoding", *TRACE_HEADERS))
"""Headers with which a request goes the general path: those between sidecars, and of traces."""


class Plan(NamedTuple):
    """How a plain chat behind one head is asked, and how its answer begins."""

    guide: Guide
    engine: Engine
    served: Served
    breaker: Breaker
    itinerary: Itinerary
    preference: Preference
    scenario: Scenario
    stated: StatedPreference | None
    awareness: Awareness
    decides: bool
    """The engine may refuse."""
    origin: Origin
    start: str
    """The engine's request up to the request's id."""
    first: tuple[float, float]
    """Seconds to wait for a whole reply, and for the first byte of a stream."""
    idle: float
    """Seconds to wait for the next bytes of a stream."""
    streams: bool
    """Whether the first letter of a stream can tell what it is."""
    chain: float
    """Seconds for the whole way to an answer."""
    keep_alive: float
    bounded: bool
    """Its agent is known to lack something: the length of a request counts."""
    cost: float
    neighbours: Neighbours
    response_lines: Lines
    """Those that tell who has answered."""
    lines: tuple[LineTemplate, LineTemplate]
    """Of the log, for whole answers and for streams: the id, the outcome, the milliseconds in all and of the decision,
    the fields of its tokens."""
    envelopes: dict[tuple[bytes, bytes], Envelope]
    """Of the bodies that came with this head, by what stands before and behind the text."""

    def context(self, query: Query, headers: Headers, request_id: str) -> RequestContext:
        """Of one of them, for the general path."""
        table, preference = self.guide.table, self.preference
        return RequestContext(
            query, self.guide, table, self.itinerary, (), self.scenario, preference, headers, request_id
        )


def plan_of(head: Head, guide: Guide, dependencies: Dependencies) -> Plan | None:
    """None where requests behind this head go the general path."""
    headers, own, table = head.headers, dependencies.own, guide.table
    engine, neighbours = dependencies.engine, dependencies.neighbours
    plain = head.method == "POST" and head.path == PATH and headers.get("content-type") == JSON
    if not plain or not ODD.isdisjoint(headers) or not isinstance(engine, Engine) or own not in table.agents:
        return None
    head_lines = engine.plain_head
    try:
        preference = preference_of_headers(headers) or guide.preference
    except InvalidRequest:
        return None
    itinerary, route = guide.itinerary((), None), table.agents[own]
    served, response_headers = neighbours.adapters.serving(route), guide.own_response_headers(preference.scenario)
    if head_lines is None or itinerary.agents[:1] != (own,) or served.route.probability is not None:
        return None
    decides = itinerary.decides(route.awareness)
    if not decides and itinerary.ahead > 1:
        return None  # it must answer, and where it fails somebody else does
    awareness = served.route.awareness if decides else Awareness.NONE
    timeouts = table.timeouts
    target = target_of(engine.url_of(CHAT))
    return Plan(
        guide,
        engine,
        served,
        neighbours.breakers.of(own, table),
        itinerary,
        preference,
        preference.scenario,
        preference.stated(served.route.preference_encoding) if decides else None,
        awareness,
        decides,
        target.origin,
        f"{target.post}{head_lines}{HEADER_REQUEST_ID}: ",
        (min(timeouts.whole, timeouts.chain), min(timeouts.first_byte, timeouts.chain)),
        timeouts.idle,
        timeouts.chain > 2 * timeouts.first_byte + timeouts.idle and not served.route.prompt_opens_reasoning,
        timeouts.chain,
        timeouts.keep_alive,
        guide.lacking,
        route.cost,
        neighbours,
        response_headers.lines,
        (
            _line(route.cost, table.cascade, preference.scenario, response_headers.headers, stream=False),
            _line(route.cost, table.cascade, preference.scenario, response_headers.headers, stream=True),
        ),
        {},
    )


def _line(cost: float, cascade: str, scenario: Scenario, response_headers: Headers, *, stream: bool) -> LineTemplate:
    """What `InboundRequest` logs of such an answer."""
    own = response_headers[HEADER_AGENT]
    decision = {"agent": own, "decision": ANSWER, "cost": cost, "milliseconds": HOLE, HOLE: None}
    fields = {
        **{"request_id": HOLE, "agent": own, "outcome": HOLE, "milliseconds": HOLE},
        **{"model": cascade, "stream": stream, "scenario": scenario, "pinned": False},
        **{"decisions": [decision], "path": response_headers[HEADER_PATH]},
        **{"answered_by": own, "hops": response_headers[HEADER_HOPS], "status": 200},
    }
    return LineTemplate(CHAT.name, fields)
