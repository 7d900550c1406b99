"""One request's run along its chain: the local engine first, then agent after agent until one answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from disrouter.names import HEADER_AGENT, HEADER_DECISIONS, HEADER_REFUSED
from disrouter.terms import FallbackPolicy
from disrouter_sidecar.agents.circuit_breaker import AttemptGuard
from disrouter_sidecar.agents.engine import Cancellable, LocalEngine, RejectionCheck
from disrouter_sidecar.agents.failures import NO_ROOM
from disrouter_sidecar.agents.next_hop import Hops, headers_of_hops
from disrouter_sidecar.agents.outcomes import Answer, ChainEnded, Refused
from disrouter_sidecar.cascade import decision_trail
from disrouter_sidecar.cascade.decision_trail import Decision, Evidence
from disrouter_sidecar.cascade.head_start import HeadStart
from disrouter_sidecar.cascade.neighbours import Neighbours
from disrouter_sidecar.errors import InstructionRejected, Reason, Rejected, UpstreamFailed
from disrouter_sidecar.headers import Headers
from disrouter_sidecar.openai.usage import Usage, header_of, records_of
from disrouter_sidecar.request.context import RequestContext
from disrouter_sidecar.request.deadline import Budget
from disrouter_sidecar.request.itinerary import Itinerary, ResponseHeaders, response_headers_of
from disrouter_sidecar.request.needs import lack
from disrouter_sidecar.telemetry import metrics as names
from disrouter_sidecar.telemetry.logs import milliseconds
from disrouter_sidecar.telemetry.metrics import Metrics
from disrouter_sidecar.telemetry.tracing import Span

DECISION = "disrouter.decision"
_UP = frozenset((Reason.EMPTY, Reason.UNFINISHED, Reason.UNDECIDABLE, Reason.REJECTED))
"""Failures after which the engine may still answer a request without an instruction."""


class ChainListener(Protocol):
    """Is called once, at the end of a run."""

    def answered(self, answer: Answer, response_headers: ResponseHeaders) -> None:
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
    """Carries one request to the agent that answers; `path` and `failed_agents` say how it went.

    A state machine over attempts, of which it is the `AttemptContext`. `start` asks the first agent. Each attempt ends
    in `answered`, which ends the run, or in `failed`, which chooses the next agent and asks it. When no agent is left,
    the local engine answers after all (a fallback) or the run fails.
    """

    __slots__ = (
        "_agent", "_attempt", "_attempt_span", "_chain_ended", "_dependencies", "_engine_is_up", "_evidence", "_guard",
        "_is_fallback", "_itinerary", "_listener", "_refusal_usage", "_span", "_started", "_stream_guard", "budget",
        "context", "decisions", "failed_agents", "path",
    )  # fmt: skip

    def __init__(
        self, context: RequestContext, dependencies: Dependencies, budget: Budget, span: Span, listener: ChainListener
    ) -> None:
        self.path = list(context.visited)
        """Agents that have refused or failed, those that earlier sidecars asked included."""
        self.failed_agents: dict[str, UpstreamFailed] = {}
        self.decisions: list[Decision] = []
        """One for each agent that was asked or passed over, those behind a hop included."""
        self.context = context
        self._dependencies = dependencies
        self.budget = budget
        self._span = span
        self._listener = listener
        self._itinerary: Itinerary = context.itinerary
        self._agent = ""
        """The one that is being asked."""
        self._attempt: Cancellable | None = None
        self._guard: AttemptGuard | None = None
        self._stream_guard: AttemptGuard | None = None
        """Of the attempt whose stream is being relayed."""
        self._attempt_span = span
        self._started = 0.0
        self._engine_is_up = False
        """The local engine has refused, or its reply was of no use: it can answer as a fallback."""
        self._is_fallback = False
        """The current attempt is that fallback."""
        self._refusal_usage: Usage | None = None
        """Tokens of the local engine's refusal."""
        self._chain_ended: ChainEnded | None = None
        self._evidence: Evidence | None = None
        """What the current attempt's decision is made from."""

    def start(self, head_start: HeadStart | None = None) -> None:
        """Ask the first agent, or go on with it. Raises InvalidRequest where the body cannot be forwarded."""
        self._dependencies.neighbours.retries.request(self.context.table.retries)
        if head_start is None:
            self._ask_next()
            return
        self._agent, self._started, self._guard = self._dependencies.own, head_start.asked, head_start.guard
        self._attempt = head_start.go_on(self)

    def cancel(self) -> None:
        """The client has left: end the attempt that is under way."""
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.cancel()
            self._end_attempt(None, cancelled=True)
        guard, self._stream_guard = self._stream_guard, None
        if guard is not None:
            guard.release()

    def stream_ended(self, failure: UpstreamFailed | None) -> None:
        """The stream that was relayed has ended, or broke: a failure of the agent, though nobody else can be asked."""
        guard, self._stream_guard = self._stream_guard, None
        if guard is not None:
            guard.end(failure)

    def forget(self) -> None:
        """An answer is being relayed: keep only what the log needs of the run."""
        del self.context, self.budget, self._itinerary

    def answered(self, answer: Answer) -> None:
        """`AttemptListener`: the agent has answered."""
        try:
            self._attempt = None
            if self._agent == self._dependencies.own:
                response_headers = self._record_answer()
            else:
                response_headers = ResponseHeaders.of(headers_of_hops(answer.reply))
                self._record_behind(answer, response_headers)
            if not answer.ended and self._guard is not None:
                self._stream_guard, self._guard = self._guard, None
                self._stream_guard.committed()
            self._end_attempt(None, response_headers)
            self._deliver(answer, response_headers)
        except Exception as error:
            self._listener.failed(error)

    def failed(self, error: Exception) -> None:
        """`AttemptListener`: the agent has refused or failed."""
        try:
            if isinstance(error, InstructionRejected):
                self._attempt = RejectionCheck(self._dependencies.engine, self, error)
                return
            self._attempt = None
            self._end_attempt(error)
            if self._is_fallback:
                self._fallback_failed(error)
            else:
                self._advance(error)
                self._ask_next()
        except Exception as fault:
            self._listener.failed(fault)

    def trace(self) -> Headers:
        """`AttemptContext`: the trace context of the current attempt's span."""
        return self._attempt_span.outgoing(self.context.headers)

    def weighed(self, refusal_probability: float, competence: float, threshold: float) -> None:
        """`AttemptContext`."""
        evidence = {"refusal_probability": refusal_probability, "competence": competence, "threshold": threshold}
        self._evidence = {name: round(value, 6) for name, value in evidence.items()}

    def _ask_next(self) -> None:
        """Ask agents in order until one takes the request; fall back when none is left."""
        while self._itinerary.ahead and not self.budget.over:
            try:
                self._ask_agent(self._itinerary.agents[0])
                return
            except UpstreamFailed as failure:
                self._advance(failure)
        self._fall_back()

    def _ask_agent(self, agent: str) -> None:
        """Start an attempt at one agent. Raises UpstreamFailed where it fails at once."""
        dependencies, context, itinerary = self._dependencies, self.context, self._itinerary
        if context.guide.lacking or dependencies.neighbours.abilities.known:
            self._check_abilities(agent)
        try:
            self._begin_attempt(agent)
            if agent != dependencies.own:
                path = self.path if dependencies.own in self.path else [*self.path, dependencies.own]
                self._attempt = dependencies.hops.ask(self, agent, path, itinerary.ahead)
            elif (
                context.preference is not None
                and itinerary.decides(context.table.agents[agent].awareness)
                and not (context.continues and itinerary is context.itinerary)
            ):
                self._attempt = dependencies.engine.decide(self, context.preference)
            else:
                self._attempt = dependencies.engine.answer(self, last=itinerary.ahead == 1)
        except Exception as error:
            self._end_attempt(error)
            raise

    def _check_abilities(self, agent: str) -> None:
        """Raise UpstreamFailed where the agent cannot take what the request brings and another one comes after it."""
        context, dependencies = self.context, self._dependencies
        abilities = dependencies.neighbours.abilities
        if self._itinerary.ahead == 1:
            return
        own, known = agent == dependencies.own, context.table.agents[agent].capabilities
        learned = abilities.lacks() if own else frozenset()
        lacks = lack(context.needs(), known, learned, abilities.context_length() if own else None)
        if lacks is not None:
            self._agent = agent
            raise UpstreamFailed(Reason.CAPABILITY, lacks)

    def _begin_attempt(self, agent: str) -> None:
        """Open the attempt's span and pass its circuit breaker. Raises UpstreamFailed where the breaker is open."""
        self._agent = agent
        self._started = self._dependencies.clock()
        self._attempt_span = self._span.ask(agent)
        self._guard = self._dependencies.neighbours.breakers.guard(agent, self.context.table, self._cut_short)

    def _cut_short(self) -> bool:
        return self.budget.cut_short

    def _end_attempt(
        self,
        error: Exception | None,
        response_headers: ResponseHeaders | None = None,
        *,
        cancelled: bool = False,
    ) -> None:
        """Report the attempt's result to the agent's circuit breaker and close its span."""
        guard, self._guard = self._guard, None
        if guard is not None and cancelled:
            guard.release()
        elif guard is not None:
            guard.end(error)
        if self._attempt_span.seen:
            self._record_decision(self._attempt_span, error, response_headers)
        self._attempt_span = self._span

    @staticmethod
    def _record_decision(span: Span, error: Exception | None, response_headers: ResponseHeaders | None) -> None:
        if isinstance(error, Refused):
            span.set_attribute(DECISION, names.REFUSE)
        elif isinstance(error, UpstreamFailed):
            span.set_attribute(DECISION, names.FAILOVER)
            span.set_attribute("error.type", error.reason.value)
        elif response_headers is not None:
            span.set_attribute(DECISION, names.ANSWER)
            span.set_attribute("disrouter.answered_by", response_headers.headers.get(HEADER_AGENT))
        span.end()

    def _advance(self, error: Exception) -> None:
        """Choose who is asked next. Raises every error that is neither a refusal nor a failure of an agent."""
        agent, itinerary = self._agent, self._itinerary.rest()
        if isinstance(error, Refused):
            self._record_refusal(error)
            self.path.append(agent)
            self._itinerary = self._after_refusal(itinerary, error)
        elif isinstance(error, ChainEnded):
            self._chain_ended = error
            self.decisions += records_of(error.reply.reply.headers.get(HEADER_DECISIONS))
            self.path = list(dict.fromkeys((*self.path, agent, *error.path)))
            self._itinerary = itinerary.without(error.path)
        elif isinstance(error, UpstreamFailed):
            self.path.append(agent)
            self._itinerary = self._after_failure(itinerary, agent, error)
        else:
            raise error

    def _record_refusal(self, refusal: Refused) -> None:
        metrics = self._dependencies.metrics
        self._engine_is_up, self._refusal_usage = True, refusal.usage or Usage()
        seconds = self._dependencies.clock() - self._started
        metrics.refused(self._refusal_usage)
        metrics.decided(names.REFUSE, self.context.scenario, seconds)
        self._decided(self._agent, names.REFUSE, seconds).update(self._refusal_usage.known())

    def _after_refusal(self, itinerary: Itinerary, refusal: Refused) -> Itinerary:
        """The next agent, or for a hopeless query the one that the route table names."""
        if refusal.to is None:
            return itinerary
        self._dependencies.metrics.jumps.inc()
        return itinerary.jump(refusal.to, spare=self.context.table.fallback.policy is FallbackPolicy.BEST_EFFORT)

    def _after_failure(self, itinerary: Itinerary, agent: str, failure: UpstreamFailed) -> Itinerary:
        """The next agent while the retry budget lasts."""
        self._record_failure(agent, failure)
        retries = self._dependencies.neighbours.retries
        if not itinerary.ahead or retries.allows(failure.reason, self.context.table.retries):
            return itinerary
        self._dependencies.metrics.retries_denied.inc()
        return itinerary.without(itinerary.agents)

    def _fall_back(self) -> None:
        """Every agent after the local engine failed: it must answer after all, if it is up and the policy allows it.

        The costliest agent that is up falls back first: it was the last to refuse, so its sidecar is the first here.
        """
        best_effort = self.context.table.fallback.policy is FallbackPolicy.BEST_EFFORT
        if not (self._engine_is_up and best_effort and not self.budget.over):
            self._end_unanswered()
            return
        self._is_fallback = True
        try:
            self._begin_attempt(self._dependencies.own)
            self._attempt = self._dependencies.engine.answer(self, last=True)
        except UpstreamFailed as failure:
            self._end_attempt(failure)
            self._fallback_failed(failure)

    def _fallback_failed(self, error: Exception) -> None:
        """The fallback failed too. Raises what is no failure of the engine."""
        if not isinstance(error, UpstreamFailed):
            raise error
        self._record_failure(self._dependencies.own, error)
        self._end_unanswered()

    def _end_unanswered(self) -> None:
        """Relay the error of the end of the chain, or raise one."""
        if self._chain_ended is not None:
            self._deliver(self._chain_ended.reply, ResponseHeaders.of(headers_of_hops(self._chain_ended.reply.reply)))
        else:
            raise self._no_agent_available()

    def _record_failure(self, agent: str, failure: UpstreamFailed) -> None:
        metrics = self._dependencies.metrics
        self.failed_agents[agent] = failure
        seconds = self._dependencies.clock() - self._started if self._started else None
        self._started = 0.0
        self._decided(agent, names.FAILOVER, seconds)["reason"] = failure.reason.value
        metrics.failed_over(failure.reason)
        if agent == self._dependencies.own:
            metrics.decided(names.FAILOVER, self.context.scenario, 0)
            self._engine_is_up |= failure.reason in _UP
            if failure.reason is Reason.NOT_FOUND:
                self._dependencies.neighbours.adapters.lost()

    def _record_answer(self) -> ResponseHeaders:
        """The local engine has answered: count it, and say so in the headers."""
        dependencies, context, path = self._dependencies, self.context, self.path
        if context.itinerary.pinned or not path:
            hops, response_headers = 0, context.guide.own_response_headers(context.scenario)
        else:
            hops = len(path)
            response_headers = response_headers_of(dependencies.own, [*path, dependencies.own], context.scenario)
        decision = names.FALLBACK if self._is_fallback else names.ANSWER
        seconds = dependencies.clock() - self._started
        cost: float = self._decided(dependencies.own, decision, seconds)["cost"]
        dependencies.metrics.decided(decision, context.scenario, seconds)
        dependencies.metrics.answered(hops, cost)
        return response_headers

    def _record_behind(self, answer: Answer, response_headers: ResponseHeaders) -> None:
        """What the agents behind a hop decided; of a sidecar that does not tell it, only who answered is known."""
        behind = records_of(answer.reply.headers.get(HEADER_DECISIONS))
        agent = response_headers.headers.get(HEADER_AGENT)
        if not behind and agent in self.context.table.agents:
            self._decided(agent, names.ANSWER, self._dependencies.clock() - self._started)
        self.decisions += behind

    def _decided(self, agent: str, decision: str, seconds: float | None) -> Decision:
        """Record it; `seconds` after the agent was asked, None where it was passed over unasked."""
        record: Decision = {"agent": agent, "decision": decision, "cost": self.context.table.agents[agent].cost}
        if seconds is not None:
            record["milliseconds"] = milliseconds(seconds)
        if self._evidence is not None:
            record |= self._evidence
            self._evidence = None
        self.decisions.append(record)
        return record

    def _deliver(self, answer: Answer, response_headers: ResponseHeaders) -> None:
        if self._refusal_usage is not None:
            refused = header_of(
                self._dependencies.own, self._refusal_usage, response_headers.headers.get(HEADER_REFUSED)
            )
            response_headers = ResponseHeaders.of({**response_headers.headers, HEADER_REFUSED: refused})
        if self.context.visited:
            decisions = decision_trail.header_of(self.decisions)
            response_headers = ResponseHeaders.of({**response_headers.headers, HEADER_DECISIONS: decisions})
        self._listener.answered(answer, response_headers)

    def _no_agent_available(self) -> Rejected:
        decisions = decision_trail.header_of(self.decisions) if self.context.visited else None
        reasons = "; ".join(
            f"{agent}: {failure.reason} ({failure.detail})" for agent, failure in self.failed_agents.items()
        )
        late = "its deadline has passed" if self.budget.over else "no agent is left to ask"
        message = f"no agent can answer now (path: {' -> '.join(self.path)}; {reasons or late}); try again shortly"
        if self.failed_agents and all(failure.reason is Reason.UNSUPPORTED for failure in self.failed_agents.values()):
            path, pinned = self.context.query.dialect.path, self.context.itinerary.pinned
            remedy = "name another agent" if pinned else "use /v1/chat/completions"
            message = f"no agent's engine offers /v1{path} (path: {' -> '.join(self.path)}); {remedy}"
            return Rejected(404, "unsupported_api", message, path=tuple(self.path), decisions=decisions)
        last = next(reversed(self.failed_agents.values()), None)
        limited = last is not None and last.reason in NO_ROOM
        status, code = (429, "rate_limit_exceeded") if limited else (503, "no_agent_available")
        wait = (last.retry_after if last is not None else None) or self.context.table.fallback.retry_after
        return Rejected(status, code, message, path=tuple(self.path), retry_after=wait, decisions=decisions)
