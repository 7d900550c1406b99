"""One request, parsed and checked: what every step of its run reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from disrouter.routes import RouteTable
from disrouter.scenario import Scenario
from disrouter_sidecar.openai.preference import Preference
from disrouter_sidecar.openai.query import Query
from disrouter_sidecar.request.itinerary import Guide, Itinerary
from disrouter_sidecar.request.needs import Needs, needs_of


class RequestContext(NamedTuple):
    """A request, and the route table that serves it to its end even if another is loaded meanwhile."""

    query: Query
    guide: Guide
    table: RouteTable
    itinerary: Itinerary
    visited: tuple[str, ...]
    scenario: Scenario | None
    """The trained scenario nearest to the preference."""
    preference: Preference | None
    """None for a request without an instruction: it is pinned, or none can be put into it."""
    headers: Mapping[str, str]
    request_id: str
    deadline: float | None = None
    """Seconds that the hop before left, None where the request comes from outside."""
    continues: bool = False
    """It goes on with a loop of tool calls that the first agent of the itinerary began: that agent does not refuse."""

    def needs(self) -> Needs:
        """What it brings; looked at where an agent is known to lack anything."""
        query = self.query
        return needs_of(query.fields, query.dialect.turns(query.fields), len(query.raw))
