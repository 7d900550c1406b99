"""What the fast path has done of a request that it leaves to the general one, which goes on from there.

The route table, the adapter and the circuit breaker are those of the request's beginning, whatever has become of them
since: a reply that is nearly complete is not thrown away because the agent has failed others meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from disrouter_sidecar.agents.attempt import AttemptContext
from disrouter_sidecar.agents.circuit_breaker import Breaker
from disrouter_sidecar.agents.engine import Cancellable
from disrouter_sidecar.agents.outcomes import Refused
from disrouter_sidecar.cascade.run_record import RunRecord
from disrouter_sidecar.request.context import RequestContext


class Refusal(NamedTuple):
    """The local engine has refused, and the next agent has been asked."""

    outcome: Refused
    record: RunRecord
    """In which it is counted."""


class HeadStart(NamedTuple):
    """A request of which one attempt is under way: the first, at the local engine, or one behind its refusal."""

    context: RequestContext
    began: float
    """When it came, by the sidecar's clock."""
    asked: float
    """When the engine was asked."""
    breaker: Breaker
    """Of the agent that is being asked."""
    go_on: Callable[[AttemptContext], Cancellable]
    """Makes the attempt that gets the agent's reply."""
    refusal: Refusal | None = None
