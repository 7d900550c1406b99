"""What the fast path has done of a request that it leaves to the general one, which goes on from there.

The route table, the adapter and the circuit breaker are those of the request's beginning, whatever has become of them
since: a reply that is nearly complete is not thrown away because the agent has failed others meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from disrouter_sidecar.agents.attempt import AttemptContext
from disrouter_sidecar.agents.circuit_breaker import AttemptGuard
from disrouter_sidecar.agents.engine import Cancellable
from disrouter_sidecar.request.context import RequestContext


class HeadStart(NamedTuple):
    """A request whose first attempt, at the local engine, is under way."""

    context: RequestContext
    began: float
    """When it came, by the sidecar's clock."""
    asked: float
    """When the engine was asked."""
    guard: AttemptGuard
    """Of that attempt."""
    go_on: Callable[[AttemptContext], Cancellable]
    """Makes the attempt that gets the engine's reply. Raises UpstreamFailed."""
