"""What the plain chats behind one head have in common: found once, by the functions of the general path."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from disrouter.names import HEADER_AGENT, HEADER_DECISIONS, HEADER_HOPS, HEADER_PATH, HEADER_REQUEST_ID
from disrouter.scenario import Scenario, StatedPreference
from disrouter.terms import Awareness
from disrouter_sidecar.agents.circuit_breaker import Breaker
from disrouter_sidecar.agents.engine import Engine
from disrouter_sidecar.agents.lora_adapter import Served
from disrouter_sidecar.agents.next_hop import head_of_hop, url_of
from disrouter_sidecar.cascade import decision_trail
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
from disrouter_sidecar.request.itinerary import Guide, Itinerary, parse_path, response_headers_of
from disrouter_sidecar.telemetry.line_template import HOLE, LineTemplate
from disrouter_sidecar.telemetry.metrics import ANSWER
from disrouter_sidecar.telemetry.tracing import TRACE_HEADERS

if TYPE_CHECKING:
    from disrouter_sidecar.cascade.fast_path.envelope import Envelope

PATH = f"/v1{CHAT.path}"
ODD = frozenset(("content-encoding", *TRACE_HEADERS))
"""Headers with which a request goes the general path."""


class NextAgent(NamedTuple):
    """Who is asked where the engine refuses, and how."""

    agent: str
    ahead: int
    """Agents that may be asked in turn there."""
    origin: Origin
    start: str
    """Its request up to the headers that vary."""
    breaker: Breaker
    first: tuple[float, float]
    """Seconds to wait for a whole reply, and for the first byte of a stream."""


class Plan(NamedTuple):
    """How a plain chat behind one head is asked, and how its answer begins."""

    guide: Guide
    engine: Engine
    served: Served
    breaker: Breaker
    visited: tuple[str, ...]
    """Agents that have refused or failed before."""
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
    least: tuple[float, float]
    """Of a deadline that came along: with more than this, whole or streamed, no wait for the engine ends with it."""
    keep_alive: float
    bounded: bool
    """Its agent is known to lack something: the length of a request counts."""
    cost: float
    neighbours: Neighbours
    next: NextAgent | None
    """None where the general path sees who comes next."""
    response_lines: Lines
    """Those that tell who has answered."""
    decision: tuple[str, str] | None
    """Of the line that tells another sidecar what was decided: up to the milliseconds, and behind them."""
    lines: tuple[LineTemplate, LineTemplate]
    """Of the log, for whole answers and for streams: the id, the outcome, the milliseconds in all and of the decision,
    the fields of its tokens."""
    envelopes: dict[tuple[bytes, bytes], Envelope]
    """Of the bodies that came with this head, by what stands before and behind the text."""

    def context(self, query: Query, headers: Headers, request_id: str, deadline: float | None) -> RequestContext:
        """Of one of them, for the general path."""
        guide, visited, preference = self.guide, self.visited, self.preference
        return RequestContext(
            query, guide, guide.table, self.itinerary, visited, self.scenario, preference, headers, request_id, deadline
        )


def plan_of(head: Head, guide: Guide, dependencies: Dependencies) -> Plan | None:
    """None where requests behind this head go the general path. Raises Rejected and InvalidRequest.

    A path in the head is believed: whoever asks makes sure that a sidecar has sent it.
    """
    headers, own, table = head.headers, dependencies.own, guide.table
    engine, neighbours = dependencies.engine, dependencies.neighbours
    plain = head.method == "POST" and head.path == PATH and headers.get("content-type") == JSON
    if not plain or not ODD.isdisjoint(headers) or not isinstance(engine, Engine) or own not in table.agents:
        return None
    head_lines, visited = engine.plain_head, parse_path(headers.get(HEADER_PATH))
    preference = preference_of_headers(headers) or guide.preference
    itinerary, route = guide.itinerary(visited, None), table.agents[own]
    served = neighbours.adapters.serving(route)
    if head_lines is None or itinerary.agents[:1] != (own,) or served.route.probability is not None:
        return None
    decides = itinerary.decides(route.awareness)
    if not decides and itinerary.ahead > 1:
        return None  # it must answer, and where it fails somebody else does
    awareness = served.route.awareness if decides else Awareness.NONE
    timeouts, scenario = table.timeouts, preference.scenario
    target = target_of(engine.url_of(CHAT))
    response_headers = response_headers_of(own, (*visited, own), scenario)
    waits_for_stream = 2 * timeouts.first_byte + timeouts.idle
    return Plan(
        guide,
        engine,
        served,
        neighbours.breakers.of(own, table),
        visited,
        itinerary,
        preference,
        scenario,
        preference.stated(served.route.preference_encoding) if decides else None,
        awareness,
        decides,
        target.origin,
        f"{target.post}{head_lines}{HEADER_REQUEST_ID}: ",
        (min(timeouts.whole, timeouts.chain), min(timeouts.first_byte, timeouts.chain)),
        timeouts.idle,
        timeouts.chain > waits_for_stream and not served.route.prompt_opens_reasoning,
        timeouts.chain,
        (timeouts.whole, waits_for_stream),
        0.0 if visited else timeouts.keep_alive,
        guide.lacking,
        route.cost,
        neighbours,
        _next_of(headers, (*visited, own), itinerary.rest(), guide, neighbours) if decides else None,
        response_headers.lines,
        _decision(own, route.cost) if visited else None,
        (
            _line(route.cost, table.cascade, scenario, response_headers.headers, stream=False),
            _line(route.cost, table.cascade, scenario, response_headers.headers, stream=True),
        ),
        {},
    )


def _next_of(
    headers: Headers, path: tuple[str, ...], itinerary: Itinerary, guide: Guide, neighbours: Neighbours
) -> NextAgent | None:
    """Who comes behind this path; None where what a request brings may keep it from being asked."""
    table, agent, ahead = guide.table, itinerary.agents[0], itinerary.ahead
    if guide.lacking:
        return None
    try:
        target = target_of(url_of(table, agent, CHAT.path))
    except ValueError:
        return None
    start, timeouts = f"{target.post}{head_of_hop(headers, path)}", table.timeouts
    first = timeouts.whole * ahead, timeouts.first_byte * ahead
    return NextAgent(agent, ahead, target.origin, start, neighbours.breakers.of(agent, table), first)


def _decision(own: str, cost: float) -> tuple[str, str]:
    """What `RunRecord.headers` tells the sidecar that has asked, of such an answer."""
    decision = {"agent": own, "decision": ANSWER, "cost": cost, "milliseconds": HOLE}
    before, _, behind = decision_trail.header_of([decision]).partition(f'"{HOLE}"')
    return f"{HEADER_DECISIONS}: {before}", f"{behind}\r\n"


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
