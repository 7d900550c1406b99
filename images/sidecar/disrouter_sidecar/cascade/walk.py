"""One request's way through the cascade: the own engine first, then agent after agent until one answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from disrouter.names import HEADER_AGENT, HEADER_REFUSED
from disrouter.terms import FallbackPolicy
from disrouter_sidecar.agents.circuit_breaker import Watch
from disrouter_sidecar.agents.engine import Cancelled, Engine
from disrouter_sidecar.agents.next_hop import Hops, told
from disrouter_sidecar.agents.outcomes import Answer, ChainEnded, Refused
from disrouter_sidecar.cascade.neighbours import Lasting
from disrouter_sidecar.errors import Reason, Rejected, UpstreamFailed
from disrouter_sidecar.headers import Headers
from disrouter_sidecar.openai.usage import Usage, header_of
from disrouter_sidecar.request.context import Asked
from disrouter_sidecar.request.deadline import Budget
from disrouter_sidecar.request.itinerary import Itinerary, Ours, ours_of
from disrouter_sidecar.telemetry import metrics as names
from disrouter_sidecar.telemetry.metrics import Metrics
from disrouter_sidecar.telemetry.tracing import Span

DECISION = "disrouter.decision"


class End(Protocol):
    """Is told, once, where a walk has led."""

    def answered(self, answer: Answer, ours: Ours) -> None:
        """An answer to relay and what it is sent with."""
        ...

    def failed(self, error: Exception) -> None:
        """Rejected (503, 429 and so on) when no agent can answer; anything else is a fault of ours."""
        ...


@dataclass(slots=True)
class Means:
    """What all walks of one sidecar share."""

    own: str
    """The agent whose sidecar this is."""
    engine: Engine
    hops: Hops
    lasting: Lasting
    metrics: Metrics
    clock: Callable[[], float]


class Walk:
    """Carries one request to the agent that answers; `trail` and `skipped` say how it went.

    It is the `Errand` of its attempts: each step begins where the one before was told.
    """

    __slots__ = (
        "_agent", "_attempt", "_end", "_ended", "_forced", "_means", "_refused", "_span", "_spent",
        "_started", "_tell", "_watch", "_way", "asked", "budget", "skipped", "trail",
    )  # fmt: skip

    def __init__(self, asked: Asked, means: Means, budget: Budget, span: Span, end: End) -> None:
        self.trail = list(asked.visited)
        """Agents that passed the request on, earlier sidecars' included."""
        self.skipped: dict[str, UpstreamFailed] = {}
        self.asked = asked
        self._means = means
        self.budget = budget
        self._span = span
        self._end = end
        self._way: Itinerary = asked.itinerary
        self._agent = ""
        """The one that is being asked."""
        self._attempt: Cancelled | None = None
        self._watch: Watch | None = None
        self._tell = span
        self._started = 0.0
        self._refused = False
        """Whether the own engine is up and could be made to answer."""
        self._forced = False
        """Whether it is being made to."""
        self._spent: Usage | None = None
        """Tokens of the own engine's refusal."""
        self._ended: ChainEnded | None = None

    def start(self) -> None:
        """Ask the first agent. Raises what it cannot be asked for, such as a body that cannot be passed on."""
        self._means.lasting.retries.request(self.asked.table.retries)
        self._go_on()

    def cancel(self) -> None:
        """The client has left."""
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.cancel()
            self._settle(None, told=False)

    def forget(self) -> None:
        """An answer is being relayed: of the walk only its story is still wanted."""
        del self.asked, self.budget, self._way

    def answered(self, answer: Answer) -> None:
        """`Outcome`: an agent has answered."""
        try:
            self._attempt = None
            own = self._agent == self._means.own
            ours = self._own_answer() if own else Ours.of(told(answer.reply))
            self._settle(None, ours)
            self._finish(answer, ours)
        except Exception as error:
            self._end.failed(error)

    def failed(self, error: Exception) -> None:
        """`Outcome`: it has not."""
        try:
            self._attempt = None
            self._settle(error)
            if self._forced:
                self._still_not(error)
            else:
                self._pass_on(error)
                self._go_on()
        except Exception as fault:
            self._end.failed(fault)

    def trace(self) -> Headers:
        """`Errand`: the context of the span that is open."""
        return self._tell.outgoing(self.asked.headers)

    def _go_on(self) -> None:
        while self._way.ahead and not self.budget.over:
            try:
                self._ask(self._way.agents[0])
                return
            except UpstreamFailed as failure:
                self._pass_on(failure)
        self._fall_back()

    def _ask(self, agent: str) -> None:
        """One agent, watched by its breaker, in a span that says what came of it. Raises UpstreamFailed."""
        means, asked, way = self._means, self.asked, self._way
        try:
            self._begin(agent)
            if agent != means.own:
                path = self.trail if means.own in self.trail else [*self.trail, means.own]
                self._attempt = means.hops.ask(self, agent, path, way.ahead)
            elif asked.wish is not None and way.decides(asked.table.agents[agent].awareness):
                self._attempt = means.engine.decide(self, asked.wish)
            else:
                self._attempt = means.engine.answer(self, last=way.ahead == 1)
        except Exception as error:
            self._settle(error)
            raise

    def _begin(self, agent: str) -> None:
        """Raises UpstreamFailed where the agent is to be left alone."""
        self._agent = agent
        self._started = self._means.clock()
        self._tell = self._span.ask(agent)
        watch = self._means.lasting.breakers.watch(agent, self.asked.table, self._cut_short)
        watch.begin()
        self._watch = watch

    def _cut_short(self) -> bool:
        return self.budget.cut_short

    def _settle(self, error: Exception | None, ours: Ours | None = None, *, told: bool = True) -> None:
        """The agent that was asked has told: so have its breaker and its span to be."""
        watch, self._watch = self._watch, None
        if watch is not None and told:
            watch.end(error)
        elif watch is not None:
            watch.leave()
        if self._tell.seen:
            self._describe(self._tell, error, ours)
        self._tell = self._span

    @staticmethod
    def _describe(span: Span, error: Exception | None, ours: Ours | None) -> None:
        if isinstance(error, Refused):
            span.tell(DECISION, names.REFUSE)
        elif isinstance(error, UpstreamFailed):
            span.tell(DECISION, names.FAILOVER)
            span.tell("error.type", error.reason.value)
        elif ours is not None:
            span.tell(DECISION, names.ANSWER)
            span.tell("disrouter.answered_by", ours.headers.get(HEADER_AGENT))
        span.end()

    def _pass_on(self, error: Exception) -> None:
        """The way from here on. Raises what is neither a refusal nor a failure of an agent."""
        agent, way = self._agent, self._way.rest()
        if isinstance(error, Refused):
            self._note_refusal(error)
            self.trail.append(agent)
            self._way = self._after_refusal(way, error)
        elif isinstance(error, ChainEnded):
            self._ended = error
            self.trail = list(dict.fromkeys((*self.trail, agent, *error.path)))
            self._way = way.without(error.path)
        elif isinstance(error, UpstreamFailed):
            self.trail.append(agent)
            self._way = self._after_failure(way, agent, error)
        else:
            raise error

    def _note_refusal(self, refusal: Refused) -> None:
        metrics = self._means.metrics
        self._refused, self._spent = True, refusal.usage or Usage()
        metrics.spent(self._spent)
        metrics.decided(names.REFUSE, self.asked.scenario, self._means.clock() - self._started)

    def _after_refusal(self, way: Itinerary, refusal: Refused) -> Itinerary:
        """The next agent, or for a hopeless query the one that the route table names."""
        if refusal.to is None:
            return way
        self._means.metrics.jumps.inc()
        return way.jump(refusal.to, spare=self.asked.table.fallback.policy is FallbackPolicy.BEST_EFFORT)

    def _after_failure(self, way: Itinerary, agent: str, failure: UpstreamFailed) -> Itinerary:
        """The next agent while the retry budget lasts."""
        self._skip(agent, failure)
        if not way.ahead or self._means.lasting.retries.allows(failure.reason, self.asked.table.retries):
            return way
        self._means.metrics.retries_denied.inc()
        return way.without(way.agents)

    def _fall_back(self) -> None:
        """Everybody after the own engine failed: it answers after all, unless the route table rather fails.

        The costliest agent that is up does so first: it is the last to refuse, so its sidecar is the first to get here.
        """
        best_effort = self.asked.table.fallback.policy is FallbackPolicy.BEST_EFFORT
        if not (self._refused and best_effort and not self.budget.over):
            self._give_up()
            return
        self._forced = True
        try:
            self._begin(self._means.own)
            self._attempt = self._means.engine.answer(self, last=True)
        except UpstreamFailed as failure:
            self._settle(failure)
            self._still_not(failure)

    def _still_not(self, error: Exception) -> None:
        if not isinstance(error, UpstreamFailed):
            raise error
        self._skip(self._means.own, error)
        self._give_up()

    def _give_up(self) -> None:
        if self._ended is not None:
            self._finish(self._ended.told, Ours.of(told(self._ended.told.reply)))
        else:
            raise self._nobody()

    def _skip(self, agent: str, failure: UpstreamFailed) -> None:
        metrics = self._means.metrics
        self.skipped[agent] = failure
        metrics.skipped(failure.reason)
        if agent == self._means.own:
            metrics.decided(names.FAILOVER, self.asked.scenario, 0)
            if failure.reason is Reason.NOT_FOUND:
                self._means.lasting.adapters.lost()

    def _own_answer(self) -> Ours:
        means, asked, trail = self._means, self.asked, self.trail
        if asked.itinerary.pinned or not trail:
            hops, ours = 0, asked.guide.mine(asked.scenario)
        else:
            hops, ours = len(trail), ours_of(means.own, [*trail, means.own], asked.scenario)
        decision = names.FALLBACK if self._forced else names.ANSWER
        means.metrics.decided(decision, asked.scenario, means.clock() - self._started)
        means.metrics.answered(hops, asked.table.agents[means.own].cost)
        return ours

    def _finish(self, answer: Answer, ours: Ours) -> None:
        if self._spent is not None:
            refused = header_of(self._means.own, self._spent, ours.headers.get(HEADER_REFUSED))
            ours = Ours.of({**ours.headers, HEADER_REFUSED: refused})
        self._end.answered(answer, ours)

    def _nobody(self) -> Rejected:
        reasons = "; ".join(f"{agent}: {failure.reason} ({failure.detail})" for agent, failure in self.skipped.items())
        late = "its deadline has passed" if self.budget.over else "nobody is left to ask"
        message = f"no agent can answer now (path: {' -> '.join(self.trail)}; {reasons or late}); try again shortly"
        if self.skipped and all(failure.reason is Reason.UNSUPPORTED for failure in self.skipped.values()):
            path = self.asked.query.dialect.path
            message = f"no agent's engine offers /v1{path} (path: {' -> '.join(self.trail)}); use /v1/chat/completions"
            return Rejected(404, "unsupported_api", message, path=tuple(self.trail))
        last = next(reversed(self.skipped.values()), None)
        limited = last is not None and last.reason is Reason.RATE_LIMITED
        status, code = (429, "rate_limit_exceeded") if limited else (503, "no_agent_available")
        wait = (last.retry_after if last is not None else None) or self.asked.table.fallback.retry_after
        return Rejected(status, code, message, path=tuple(self.trail), retry_after=wait)
