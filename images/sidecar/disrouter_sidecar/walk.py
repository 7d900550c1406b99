"""One request's way through the cascade: the own engine first, then agent after agent until one answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from disrouter.names import HEADER_AGENT, HEADER_HOPS, HEADER_PATH, HEADER_REFUSED, HEADER_SCENARIO
from disrouter.routes import FallbackPolicy
from disrouter_sidecar import metrics as names
from disrouter_sidecar.asked import Asked
from disrouter_sidecar.attempt import Answer
from disrouter_sidecar.breaker import Watch
from disrouter_sidecar.budget import Budget
from disrouter_sidecar.chain import Itinerary
from disrouter_sidecar.engine import Engine
from disrouter_sidecar.errors import ChainEnded, Reason, Refused, Rejected, UpstreamFailed
from disrouter_sidecar.hop import Hop, told
from disrouter_sidecar.lasting import Lasting
from disrouter_sidecar.metrics import Metrics
from disrouter_sidecar.ports import Headers
from disrouter_sidecar.usage import Usage, header_of

DECISION = "disrouter.decision"
Answered = tuple[Answer, Headers]
"""An answer to relay and its `x-disrouter-*` headers."""


@dataclass(slots=True)
class Walk:
    """Carries one request to the agent that answers; `trail` and `skipped` say how it went."""

    asked: Asked
    own: str
    """The agent whose sidecar this is."""
    engine: Engine
    hop: Hop
    budget: Budget
    lasting: Lasting
    metrics: Metrics
    clock: Callable[[], float]
    trail: list[str] = field(default_factory=list)
    """Agents that passed the request on, earlier sidecars' included."""
    skipped: dict[str, UpstreamFailed] = field(default_factory=dict)
    refused: bool = False
    """Whether the own engine is up and could be made to answer."""
    spent: Usage | None = None
    """Tokens of the own engine's refusal."""
    ended: ChainEnded | None = None

    async def run(self) -> Answered:
        """The first answer. Raises Rejected (503, 429) when no agent can answer."""
        answer, headers = await self._run()
        if self.spent is not None:
            headers = {**headers, HEADER_REFUSED: header_of(self.own, self.spent, headers.get(HEADER_REFUSED))}
        return answer, headers

    async def _run(self) -> Answered:
        self.lasting.retries.request(self.asked.table.retries)
        self.trail = list(self.asked.visited)
        way = self.asked.itinerary
        while way.ahead and not self.budget.over:
            agent = way.agents[0]
            try:
                return await self._ask(agent, way)
            except Refused as refusal:
                self.trail.append(agent)
                way = self._after_refusal(way.rest(), refusal)
            except ChainEnded as end:
                self.ended = end
                self.trail = list(dict.fromkeys((*self.trail, agent, *end.path)))
                way = way.rest().without(end.path)
            except UpstreamFailed as failure:
                self.trail.append(agent)
                way = self._after_failure(way.rest(), agent, failure)
        return await self._fall_back()

    async def _ask(self, agent: str, way: Itinerary) -> Answered:
        """One agent, watched by its breaker, in a span that says what came of it."""
        with self._watch(agent), self.asked.tracing.ask(agent) as span:
            span.tell("disrouter.agent", agent)
            try:
                answer, headers = await (self._own(way) if agent == self.own else self._next(agent, way))
            except Refused:
                span.tell(DECISION, names.REFUSE)
                raise
            except UpstreamFailed as failure:
                span.tell(DECISION, names.SKIP)
                span.tell("error.type", failure.reason.value)
                raise
            span.tell(DECISION, names.ANSWER)
            span.tell("disrouter.answered_by", headers.get(HEADER_AGENT))
            return answer, headers

    def _after_refusal(self, way: Itinerary, refusal: Refused) -> Itinerary:
        """The next agent, or for a hopeless query the one that the route table names."""
        if refusal.to is None:
            return way
        self.metrics.jumps.inc()
        return way.jump(refusal.to, spare=self.asked.table.fallback.policy is FallbackPolicy.BEST_EFFORT)

    def _after_failure(self, way: Itinerary, agent: str, failure: UpstreamFailed) -> Itinerary:
        """The next agent while the retry budget lasts."""
        self._skip(agent, failure)
        if not way.ahead or self.lasting.retries.allows(failure.reason, self.asked.table.retries):
            return way
        self.metrics.retries_denied.inc()
        return way.without(way.agents)

    async def _own(self, way: Itinerary) -> Answered:
        """The own engine: free to refuse while somebody comes after it."""
        started = self.clock()
        decides = way.decides(self.asked.table.agents[self.own].awareness)
        try:
            if decides and self.asked.wish is not None:
                answer = await self.engine.decide(self.asked.wish)
            else:
                answer = await self.engine.answer(last=way.ahead == 1)
        except Refused as refusal:
            self.refused, self.spent = True, refusal.usage or Usage()
            self.metrics.spent(self.spent)
            self.metrics.decided(names.REFUSE, self.asked.scenario, self.clock() - started)
            raise
        return self._answered(answer, names.ANSWER, started)

    async def _next(self, agent: str, way: Itinerary) -> Answered:
        path = self.trail if self.own in self.trail else [*self.trail, self.own]
        return await self.hop.ask(agent, path, way.ahead)

    async def _fall_back(self) -> Answered:
        """Everybody after the own engine failed: it answers after all, unless the route table rather fails.

        The costliest agent that is up does so first: it is the last to refuse, so its sidecar is the first to get here.
        """
        if self.refused and self.asked.table.fallback.policy is FallbackPolicy.BEST_EFFORT and not self.budget.over:
            started = self.clock()
            try:
                with self._watch(self.own):
                    return self._answered(await self.engine.answer(last=True), names.FORCED, started)
            except UpstreamFailed as failure:
                self._skip(self.own, failure)
        if self.ended is not None:
            return self.ended.told, told(self.ended.told.reply)
        raise self._nobody()

    def _watch(self, agent: str) -> Watch:
        return self.lasting.breakers.watch(agent, self.asked.table, lambda: self.budget.cut_short)

    def _skip(self, agent: str, failure: UpstreamFailed) -> None:
        self.skipped[agent] = failure
        self.metrics.skipped(failure.reason)
        if agent == self.own:
            self.metrics.decided(names.SKIP, self.asked.scenario, 0)
            if failure.reason is Reason.NOT_FOUND:
                self.lasting.adapters.lost()

    def _answered(self, answer: Answer, decision: str, started: float) -> Answered:
        path = [*([] if self.asked.itinerary.pinned else self.trail), self.own]
        self.metrics.decided(decision, self.asked.scenario, self.clock() - started)
        self.metrics.answered(len(path) - 1, self.asked.table.agents[self.own].cost)
        return answer, self._headers(path)

    def _headers(self, path: Sequence[str]) -> Headers:
        headers = {HEADER_AGENT: self.own, HEADER_PATH: ",".join(path), HEADER_HOPS: str(len(path) - 1)}
        if self.asked.scenario is not None:
            headers[HEADER_SCENARIO] = self.asked.scenario
        return headers

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
