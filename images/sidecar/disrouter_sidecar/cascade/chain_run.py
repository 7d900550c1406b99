"""One request's run along its chain: the local engine first, then agent after agent until one answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from disrouter.names import HEADER_AGENT, HEADER_DECISIONS
from disrouter_sidecar.agents.circuit_breaker import AttemptGuard
from disrouter_sidecar.agents.engine import Cancellable, LocalEngine, RejectionCheck
from disrouter_sidecar.agents.failures import NO_ROOM
from disrouter_sidecar.agents.next_hop import Hops, headers_of_hops
from disrouter_sidecar.agents.outcomes import Answered, Exhausted, Failed, Faulty, Outcome, Refused, outcome_of
from disrouter_sidecar.cascade import decision_trail
from disrouter_sidecar.cascade.chain import Ask, Chain, GiveUp, Step
from disrouter_sidecar.cascade.head_start import HeadStart
from disrouter_sidecar.cascade.neighbours import Neighbours
from disrouter_sidecar.cascade.run_record import RunRecord
from disrouter_sidecar.errors import InstructionRejected, Reason, Rejected, UpstreamFailed
from disrouter_sidecar.headers import Headers
from disrouter_sidecar.request.context import RequestContext
from disrouter_sidecar.request.deadline import Budget
from disrouter_sidecar.request.itinerary import ResponseHeaders, response_headers_of
from disrouter_sidecar.request.needs import lack
from disrouter_sidecar.telemetry import metrics as names
from disrouter_sidecar.telemetry.metrics import Metrics
from disrouter_sidecar.telemetry.tracing import Span

DECISION = "disrouter.decision"


class ChainListener(Protocol):
    """Is called once, at the end of a run."""

    def answered(self, answer: Answered, response_headers: ResponseHeaders) -> None:
        """An answer to relay, and the headers to send with it."""
        ...

    def failed(self, error: Exception) -> None:
        """Rejected (503, 429 and so on) when no agent can answer; anything else is a bug."""
        ...


@dataclass(slots=True)
class Dependencies:
    """What the runs of all requests of one sidecar share."""

    own: str
    """The agent whose sidecar this is."""
    engine: LocalEngine
    hops: Hops
    neighbours: Neighbours
    metrics: Metrics
    clock: Callable[[], float]


class ChainRun:
    """Carries one request to the agent that answers: does what `chain` says, attempt after attempt.

    It is the `AttemptContext` of its attempts; `record` and `path` say how it went.
    """

    __slots__ = (
        "_agent", "_attempt", "_attempt_span", "_chain", "_dependencies", "_elsewhere", "_guard", "_listener", "_span",
        "_stream_guard", "budget", "context", "record",
    )  # fmt: skip

    def __init__(
        self, context: RequestContext, dependencies: Dependencies, budget: Budget, span: Span, listener: ChainListener
    ) -> None:
        self.context = context
        self.budget = budget
        self.record = RunRecord(dependencies.own, context.scenario, dependencies.metrics, dependencies.clock)
        self._dependencies = dependencies
        self._span = span
        self._listener = listener
        self._chain = Chain(dependencies.own, context.itinerary, context.visited, context.table.fallback.policy)
        self._agent = ""
        """The one that is being asked."""
        self._attempt: Cancellable | None = None
        self._guard: AttemptGuard | None = None
        self._stream_guard: AttemptGuard | None = None
        """Of the attempt whose stream is being relayed."""
        self._attempt_span = span
        self._elsewhere = False
        """Another agent has been asked."""

    @property
    def path(self) -> tuple[str, ...]:
        """Agents that have refused or failed, those that earlier sidecars asked included."""
        return self._chain.path

    def start(self, head_start: HeadStart | None = None) -> None:
        """Ask the first agent, or go on with one that was. Raises InvalidRequest where the body cannot be forwarded."""
        self._dependencies.neighbours.retries.request(self.context.table.retries)
        if head_start is None:
            self._go_on()
        else:
            self._take_over(head_start)

    def _take_over(self, begun: HeadStart) -> None:
        """Go on with the attempt that is under way."""
        own, breakers = self._dependencies.own, self._dependencies.neighbours.breakers
        if begun.refusal is None:
            self.record.began(begun.asked)
        else:
            refused, self.record = begun.refusal
            self._chain = self._chain.after(own, refused)
            self._goes(elsewhere=True)
        self._agent = self._chain.itinerary.agents[0]
        self._guard = breakers.admitted(begun.breaker, self.context.table.breaker, self._cut_short)
        self._attempt = begun.go_on(self)

    def cancel(self) -> None:
        """The client has left: end the attempt that is under way."""
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.cancel()
            self._end_span(None)
        for guard in (self._guard, self._stream_guard):
            if guard is not None:
                guard.release()
        self._guard = self._stream_guard = None

    def stream_ended(self, failure: UpstreamFailed | None) -> None:
        """The stream that was relayed has ended, or broke: a failure of the agent, though nobody else can be asked."""
        guard, self._stream_guard = self._stream_guard, None
        if guard is not None:
            guard.end(failure)

    def over(self) -> None:
        """The request has ended, however it did."""
        self.record.settled()
        self._goes(elsewhere=False)

    def _goes(self, *, elsewhere: bool) -> None:
        """Count whether the request is at another agent, and not at the local engine."""
        if elsewhere is not self._elsewhere:
            self._elsewhere = elsewhere
            self._dependencies.metrics.elsewhere += 1 if elsewhere else -1

    def forget(self) -> None:
        """An answer is being relayed: keep only what the log needs of the run."""
        del self.context, self.budget

    def ended(self, outcome: Outcome) -> None:
        """`AttemptListener`: the current attempt has ended so."""
        try:
            if self._is_checked(outcome):
                return
            self._attempt = None
            if isinstance(outcome, Answered):
                self._relay(outcome)
                return
            self._end_attempt(outcome)
            self._advance(outcome)
            self._go_on()
        except Exception as error:
            self._listener.failed(error)

    def trace(self) -> Headers:
        """`AttemptContext`: the trace context of the current attempt's span."""
        return self._attempt_span.outgoing(self.context.headers)

    def weighed(self, refusal_probability: float, competence: float, threshold: float) -> None:
        """`AttemptContext`."""
        self.record.weighed(refusal_probability, competence, threshold)

    # From one agent to the next.

    def _go_on(self) -> None:
        """Take steps until an agent has taken the request, or none is left."""
        while not isinstance(step := self._chain.next_step(late=self.budget.over), GiveUp):
            try:
                self._take(step)
                return
            except UpstreamFailed as failure:
                self._advance(Failed(failure))
        self._give_up()

    def _advance(self, outcome: Outcome) -> None:
        """Count how the attempt ended, and move on. Raises what nobody can serve."""
        if isinstance(outcome, Faulty):
            raise outcome.error
        self._count(outcome)
        dependencies, retries = self._dependencies, True
        if isinstance(outcome, Failed) and self._chain.needs_retry(outcome):
            retries = dependencies.neighbours.retries.allows(outcome.failure.reason, self.context.table.retries)
            if not retries:
                dependencies.metrics.retries_denied.inc()
        self._chain = self._chain.after(self._agent, outcome, retries=retries)

    def _count(self, outcome: Outcome) -> None:
        agent, record = self._agent, self.record
        if isinstance(outcome, Refused):
            record.refused(agent, outcome, self.context.table.agents[agent].cost)
        elif isinstance(outcome, Failed):
            record.failed(agent, outcome.failure, self.context.table.agents[agent].cost)
            if agent == self._dependencies.own and outcome.failure.reason is Reason.NOT_FOUND:
                self._dependencies.neighbours.adapters.lost()
        elif isinstance(outcome, Exhausted):
            record.told(outcome.answer.reply.headers.get(HEADER_DECISIONS))

    def _take(self, step: Step) -> None:
        """Start an attempt. Raises UpstreamFailed where it fails at once."""
        if isinstance(step, Ask):
            self._agent = step.agent
            self._check_abilities(step.agent)
        else:
            self._agent = self._dependencies.own
            self._chain = self._chain._replace(falls_back=True)
        elsewhere = self._agent != self._dependencies.own
        self._goes(elsewhere=elsewhere)
        if elsewhere:
            self.record.settled()
            self._dependencies.metrics.wanted(self._agent)
        try:
            self._begin_attempt()
            self._attempt = self._asked(self._agent)
        except Exception as error:
            self._end_attempt(outcome_of(error))
            raise

    def _asked(self, agent: str) -> Cancellable:
        """The attempt at an agent. Raises UpstreamFailed."""
        dependencies, context, chain = self._dependencies, self.context, self._chain
        itinerary, own = chain.itinerary, dependencies.own
        if chain.falls_back:
            return dependencies.engine.answer(self, last=True)
        if agent != own:
            path = chain.path if own in chain.path else (*chain.path, own)
            return dependencies.hops.ask(self, agent, path, itinerary.ahead)
        decides = itinerary.decides(context.table.agents[agent].awareness)
        if context.preference is None or not decides or (context.continues and itinerary is context.itinerary):
            return dependencies.engine.answer(self, last=itinerary.ahead == 1)
        return dependencies.engine.decide(self, context.preference)

    def _check_abilities(self, agent: str) -> None:
        """Raise UpstreamFailed where the agent cannot take what the request brings and another one comes after it."""
        context, abilities = self.context, self._dependencies.neighbours.abilities
        if not (context.guide.lacking or abilities.known) or self._chain.itinerary.ahead == 1:
            return
        own, known = agent == self._dependencies.own, context.table.agents[agent].capabilities
        learned = abilities.lacks() if own else frozenset()
        lacks = lack(context.needs(), known, learned, abilities.context_length() if own else None)
        if lacks is not None:
            raise UpstreamFailed(Reason.CAPABILITY, lacks)

    def _is_checked(self, outcome: Outcome) -> bool:
        """Whether it is still to be seen if the engine rejects only the instruction."""
        if not isinstance(outcome, Failed) or not isinstance(outcome.failure, InstructionRejected):
            return False
        try:
            self._attempt = RejectionCheck(self._dependencies.engine, self, outcome.failure)
        except UpstreamFailed:
            return False
        return True

    # One attempt.

    def _begin_attempt(self) -> None:
        """Open the attempt's span and pass its circuit breaker. Raises UpstreamFailed where the breaker is open."""
        self.record.began(None)
        self._attempt_span = self._span.ask(self._agent)
        self._guard = self._dependencies.neighbours.breakers.guard(self._agent, self.context.table, self._cut_short)

    def _cut_short(self) -> bool:
        return self.budget.cut_short

    def _end_attempt(self, outcome: Outcome, answered_by: str | None = None) -> None:
        """Report the attempt's result to the agent's circuit breaker and close its span."""
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.end(_error_of(outcome))
        self._end_span(outcome, answered_by)

    def _end_span(self, outcome: Outcome | None, answered_by: str | None = None) -> None:
        span, self._attempt_span = self._attempt_span, self._span
        if not span.seen:
            return
        if isinstance(outcome, Refused):
            span.set_attribute(DECISION, names.REFUSE)
        elif isinstance(outcome, Failed):
            span.set_attribute(DECISION, names.FAILOVER)
            span.set_attribute("error.type", outcome.failure.reason.value)
        elif isinstance(outcome, Answered):
            span.set_attribute(DECISION, names.ANSWER)
            span.set_attribute("disrouter.answered_by", answered_by)
        span.end()

    # The end.

    def _relay(self, answer: Answered) -> None:
        """An agent has answered."""
        known = self._answered_here() if self._agent == self._dependencies.own else None
        if known is None:
            headers = self.record.answered_behind(answer.reply, self.context.table.agents)
        else:
            headers = known.headers
        if not answer.ended and self._guard is not None:
            self._stream_guard, self._guard = self._guard, None
            self._stream_guard.committed()
        self._end_attempt(answer, headers.get(HEADER_AGENT))
        self._deliver(answer, headers, known)

    def _answered_here(self) -> ResponseHeaders:
        """Count that the local engine has answered; the headers that say so."""
        context, own, path = self.context, self._dependencies.own, self.path
        first = context.itinerary.pinned or not path
        cost, fallback = context.table.agents[own].cost, self._chain.falls_back
        self.record.answered(0 if first else len(path), cost, fallback=fallback)
        if first:
            return context.guide.own_response_headers(context.scenario)
        return response_headers_of(own, [*path, own], context.scenario)

    def _deliver(self, answer: Answered, headers: Headers, known: ResponseHeaders | None = None) -> None:
        """`known` has the lines of these headers already."""
        added = self.record.headers(headers, hop=bool(self.context.visited))
        response_headers = ResponseHeaders.of({**headers, **added}) if added or known is None else known
        self._listener.answered(answer, response_headers)

    def _give_up(self) -> None:
        """Relay the error of the end of the chain, or raise one."""
        exhausted = self._chain.exhausted
        if exhausted is None:
            raise self._no_agent_available()
        self._deliver(exhausted.answer, headers_of_hops(exhausted.answer.reply))

    def _no_agent_available(self) -> Rejected:
        failed, path, context = self.record.failed_agents, self.path, self.context
        decisions = decision_trail.header_of(self.record.decisions) if context.visited else None
        reasons = "; ".join(f"{agent}: {failure.reason} ({failure.detail})" for agent, failure in failed.items())
        late = "its deadline has passed" if self.budget.over else "no agent is left to ask"
        message = f"no agent can answer now (path: {' -> '.join(path)}; {reasons or late}); try again shortly"
        if failed and all(failure.reason is Reason.UNSUPPORTED for failure in failed.values()):
            remedy = "name another agent" if context.itinerary.pinned else "use /v1/chat/completions"
            api = context.query.dialect.path
            message = f"no agent's engine offers /v1{api} (path: {' -> '.join(path)}); {remedy}"
            return Rejected(404, "unsupported_api", message, path=path, decisions=decisions)
        last = next(reversed(failed.values()), None)
        limited = last is not None and last.reason in NO_ROOM
        status, code = (429, "rate_limit_exceeded") if limited else (503, "no_agent_available")
        wait = (last.retry_after if last is not None else None) or context.table.fallback.retry_after
        return Rejected(status, code, message, path=path, retry_after=wait, decisions=decisions)


def _error_of(outcome: Outcome) -> Exception | None:
    """What a circuit breaker hears of; None where the agent works."""
    if isinstance(outcome, Failed):
        return outcome.failure
    return outcome.error if isinstance(outcome, Faulty) else None
