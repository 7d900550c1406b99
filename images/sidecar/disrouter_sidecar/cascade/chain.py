"""A request's way along its chain as a table: from how far it is and how an attempt ended to what comes next. Pure.

| state                         | outcome             | next                                                         |
|-------------------------------|---------------------|--------------------------------------------------------------|
| agents are ahead              | refused             | the next agent, or the one that the refusal jumps to         |
|                               | failed              | the next agent while retries last, else as with none ahead   |
|                               | exhausted           | the next agent that was not tried behind the hop             |
| none is ahead, or it is late  | the engine is up    | a fallback: the local engine must answer, if policy and time |
|                               |                     | allow it                                                     |
|                               | anything else       | the error that the chain behind gave, or our own             |
| the fallback is under way     | anything but answer | the same error                                               |

Whatever the state, an answer is relayed.
"""

from __future__ import annotations

from typing import NamedTuple

from disrouter.terms import FallbackPolicy
from disrouter_sidecar.agents.outcomes import Exhausted, Failed, Outcome, Refused
from disrouter_sidecar.errors import Reason
from disrouter_sidecar.request.itinerary import Itinerary

_BEST_EFFORT = FallbackPolicy.BEST_EFFORT
_UP = frozenset((Reason.EMPTY, Reason.UNFINISHED, Reason.UNDECIDABLE, Reason.REJECTED))
"""Failures after which the engine may still answer a request without an instruction."""


class Ask(NamedTuple):
    """Ask this agent."""

    agent: str


class FallBack(NamedTuple):
    """Have the local engine answer after all."""


class GiveUp(NamedTuple):
    """No agent is left."""


Step = Ask | FallBack | GiveUp
_FALL_BACK, _GIVE_UP = FallBack(), GiveUp()


class Chain(NamedTuple):
    """How far a request has come."""

    own: str
    """The agent whose sidecar this is."""
    itinerary: Itinerary
    path: tuple[str, ...]
    """Agents that have refused or failed, those that earlier sidecars asked included."""
    policy: FallbackPolicy
    engine_is_up: bool = False
    """The local engine has refused, or its reply was of no use: it can answer as a fallback."""
    falls_back: bool = False
    exhausted: Exhausted | None = None

    def next_step(self, *, late: bool) -> Step:
        """`late`: the request's time is up."""
        if self.falls_back:
            return _GIVE_UP
        if self.itinerary.ahead and not late:
            return Ask(self.itinerary.agents[0])
        if self.engine_is_up and self.policy is _BEST_EFFORT and not late:
            return _FALL_BACK
        return _GIVE_UP

    def needs_retry(self, outcome: Outcome) -> bool:
        """Whether going on after this one is a retry, of which there are only so many."""
        return isinstance(outcome, Failed) and not self.falls_back and self.itinerary.rest().ahead > 0

    def after(self, agent: str, outcome: Outcome, *, retries: bool = True) -> Chain:
        """Behind an attempt at `agent` that ended so; `retries`: one more is allowed."""
        if self.falls_back:
            return self
        ahead = self.itinerary.rest()
        match outcome:
            case Refused(to):
                if to is not None:
                    ahead = ahead.jump(to, spare=self.policy is _BEST_EFFORT)
                return self._replace(itinerary=ahead, path=(*self.path, agent), engine_is_up=True)
            case Failed(failure):
                up = self.engine_is_up or (agent == self.own and failure.reason in _UP)
                left = ahead if retries else ahead.without(ahead.agents)
                return self._replace(itinerary=left, path=(*self.path, agent), engine_is_up=up)
            case Exhausted(tried):
                path = tuple(dict.fromkeys((*self.path, agent, *tried)))
                return self._replace(itinerary=ahead.without(tried), path=path, exhausted=outcome)
        raise AssertionError(f"a chain does not go on behind {outcome}")
