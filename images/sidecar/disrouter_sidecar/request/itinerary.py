"""Which agents a request may still visit: pure policy over the route table and the path so far.

The path comes in the header `x-disrouter-path`. Any client can send it, so it has one effect only: what is on
it is not visited again. It never grants anything.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from disrouter.errors import InvalidRequest
from disrouter.names import HEADER_AGENT, HEADER_HOPS, HEADER_PATH, HEADER_SCENARIO, is_dns_label
from disrouter.routes import RouteTable
from disrouter.scenario import Scenario
from disrouter.terms import Awareness
from disrouter_sidecar.errors import Rejected
from disrouter_sidecar.headers import Headers, Lines, lines
from disrouter_sidecar.openai.preference import Preference
from disrouter_sidecar.request.needs import declares

MAX_PATH = 64
"""Agents that a path may name: the largest hop cap of a route table."""
MAX_PATH_CHARACTERS = MAX_PATH * 64
_NONE = Awareness.NONE
LOOP = 508
"""HTTP's Loop Detected (RFC 5842)."""


class Itinerary(NamedTuple):
    """Agents still to be asked, in order, and how many of them may be; a `pinned` one must answer."""

    agents: tuple[str, ...]
    hops: int
    pinned: bool = False

    @property
    def ahead(self) -> int:
        """How many agents can still be asked."""
        agents, hops = len(self.agents), self.hops
        return agents if agents < hops else max(hops, 0)

    def decides(self, awareness: Awareness) -> bool:
        """Whether the first agent may refuse: it is aware, free to, and somebody comes after it."""
        return not self.pinned and awareness is not _NONE and self.ahead > 1

    def rest(self) -> Itinerary:
        """Behind the first agent."""
        return self._replace(agents=self.agents[1:], hops=self.hops - 1)

    def jump(self, to: str, *, spare: bool) -> Itinerary:
        """Go on at `to`. Who is jumped over comes last if `spare`, the costliest first: each can still answer."""
        if to not in self.agents:
            return self
        place = self.agents.index(to)
        over = self.agents[:place][::-1] if spare else ()
        return self._replace(agents=self.agents[place:] + over)

    def beginning(self, agent: str) -> Itinerary:
        """From `agent` on, with those before it behind, the costliest first; unchanged where it is not ahead."""
        return self.jump(agent, spare=True)

    def without(self, tried: Collection[str]) -> Itinerary:
        """After another sidecar has tried these."""
        agents = tuple(name for name in self.agents if name not in tried)
        return self._replace(agents=agents, hops=self.hops - (len(self.agents) - len(agents)))

    def to_the_end(self) -> Itinerary:
        """Only the last agent: for a request into which no instruction can be put."""
        return self._replace(agents=self.agents[-1:])


def parse_path(header: str | None) -> tuple[str, ...]:
    """Agents that refused or failed before. Raises InvalidRequest on anything that no sidecar writes."""
    if not header:
        return ()
    names = tuple(part.strip() for part in header[: MAX_PATH_CHARACTERS + 1].split(","))
    if len(header) > MAX_PATH_CHARACTERS or len(names) > MAX_PATH or not all(map(is_dns_label, names)):
        raise InvalidRequest(f"must be at most {MAX_PATH} agents' names, separated by commas", HEADER_PATH)
    return names


def itinerary(table: RouteTable, own: str, visited: Sequence[str], pinned: str | None) -> Itinerary:
    """Where this request goes from the sidecar of `own`. Raises Rejected (508) on a loop or beyond the hop cap."""
    if pinned is not None:
        if pinned != own and visited:
            raise _loop(f"{pinned} was asked for, but its address led to {own}", visited)
        return Itinerary((pinned,), 1, pinned=True)
    if own in visited:
        raise _loop(f"{own} was already asked", visited)
    if len(visited) >= table.max_hops:
        raise _loop(f"{len(visited)} agents forwarded it, more than maxHops={table.max_hops} allows", visited)
    agents = tuple(name for name in _ahead(table, own, visited) if name not in visited)
    return Itinerary(agents, table.max_hops - len(visited))


class Guide:
    """One route table with what nearly all of this sidecar's requests take from it, made once."""

    __slots__ = ("_own", "_own_response_headers", "_whole", "lacking", "preference", "table")

    def __init__(self, table: RouteTable, own: str) -> None:
        self.table = table
        self.preference = Preference.of_table(table)
        """For a request that states none."""
        self.lacking = any(declares(route.capabilities) for route in table.agents.values())
        """Whether any agent is said to lack a capability."""
        self._own = own
        self._whole = itinerary(table, own, (), None)
        self._own_response_headers: dict[Scenario | None, ResponseHeaders] = {}

    def itinerary(self, visited: Sequence[str], pinned: str | None) -> Itinerary:
        """Where a request goes. Raises Rejected (508) on a loop or beyond the hop cap."""
        return itinerary(self.table, self._own, visited, pinned) if visited or pinned is not None else self._whole

    def own_response_headers(self, scenario: Scenario | None) -> ResponseHeaders:
        """The headers of an answer of this agent where it is the first that was asked."""
        response_headers = self._own_response_headers.get(scenario)
        if response_headers is None:
            response_headers = self._own_response_headers[scenario] = response_headers_of(
                self._own, [self._own], scenario
            )
        return response_headers


class ResponseHeaders(NamedTuple):
    """The `x-disrouter-*` headers of an answer, and the same as lines."""

    headers: Headers
    lines: Lines

    @classmethod
    def of(cls, headers: Headers) -> ResponseHeaders:
        """With the lines made."""
        return cls(headers, lines(headers))


def response_headers_of(own: str, path: Sequence[str], scenario: Scenario | None) -> ResponseHeaders:
    """For an answer of `own`, the last on the path."""
    headers = {HEADER_AGENT: own, HEADER_PATH: ",".join(path), HEADER_HOPS: str(len(path) - 1)}
    if scenario is not None:
        headers[HEADER_SCENARIO] = scenario
    return ResponseHeaders.of(headers)


def _ahead(table: RouteTable, own: str, visited: Sequence[str]) -> list[str]:
    """`own` and those after it; for one that the table has dropped, those after the last visited agent."""
    if own in table.agents:
        return table.path_from(own)
    path = table.path()
    last = max((path.index(name) for name in visited if name in path), default=-1)
    return path[last + 1 :]


def _loop(why: str, visited: Sequence[str]) -> Rejected:
    path = " -> ".join(visited)
    message = f"the request goes round in circles: {why} (path: {path}); check the route table's addresses"
    return Rejected(LOOP, "routing_loop", message, path=tuple(visited))
