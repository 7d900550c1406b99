"""One request, understood: what every step of its way through the cascade reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from disrouter.routes import RouteTable
from disrouter.scenario import Scenario
from disrouter_sidecar.api.query import Query
from disrouter_sidecar.chain import Itinerary
from disrouter_sidecar.ports import Headers
from disrouter_sidecar.tracing import OFF, Tracing
from disrouter_sidecar.wish import Wish


class Asked(NamedTuple):
    """A request and the route table that it is served by, to its end, whatever is loaded meanwhile."""

    query: Query
    table: RouteTable
    itinerary: Itinerary
    visited: tuple[str, ...]
    wish: Wish | None
    """None for a request that nobody is instructed with: it is pinned, or cannot be instructed."""
    headers: Mapping[str, str]
    request_id: str
    deadline: float | None = None
    """Seconds that the hop before left, None where the request comes from outside."""
    tracing: Tracing = OFF

    @property
    def scenario(self) -> Scenario | None:
        """The trained scenario nearest to the wish."""
        return None if self.wish is None else self.wish.scenario

    def trace_headers(self) -> Headers:
        """The trace context for what is asked now."""
        return self.tracing.outgoing(self.headers)

    def headers_of(self, names: Sequence[str]) -> Headers:
        """The client's headers of these names."""
        return {name: value for name in names if (value := self.headers.get(name)) is not None}
