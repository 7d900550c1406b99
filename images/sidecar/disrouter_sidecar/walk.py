"""One request's way through the cascade: the own engine first, then agent after agent until one answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from disrouter.names import (
    HEADER_AGENT,
    HEADER_HOPS,
    HEADER_PATH,
    HEADER_PREFERENCE,
    HEADER_PREFIX,
    HEADER_REQUEST_ID,
    HEADER_SCENARIO,
)
from disrouter.routes import Awareness, RouteTable
from disrouter.scenario import Scenario
from disrouter_sidecar import metrics as names
from disrouter_sidecar.attempt import Answer, Budget, judge_agent, judge_engine
from disrouter_sidecar.chain import Itinerary
from disrouter_sidecar.chat import Chat, engine_body
from disrouter_sidecar.config import Config
from disrouter_sidecar.errors import Reason, Refused, Rejected, UpstreamFailed
from disrouter_sidecar.memory import Take
from disrouter_sidecar.metrics import Metrics
from disrouter_sidecar.ports import Headers, Upstream
from disrouter_sidecar.replies import JSON

CHAT_PATH = "/v1/chat/completions"
_TRACE_HEADERS = ("traceparent", "tracestate")
_HOP_HEADERS = (*_TRACE_HEADERS, HEADER_SCENARIO, HEADER_PREFERENCE)
"""Headers of the client that travel on; its Authorization never does, neither to an engine nor to another agent."""


@dataclass(frozen=True)
class Asked:
    """One request, understood."""

    chat: Chat
    table: RouteTable
    itinerary: Itinerary
    visited: tuple[str, ...]
    scenario: Scenario | None
    """None for a pinned request: its agent is not instructed."""
    headers: Mapping[str, str]
    request_id: str


@dataclass
class Walk:
    """Carries one request to the agent that answers; `trail` and `skipped` say how it went."""

    asked: Asked
    config: Config
    upstream: Upstream
    metrics: Metrics
    clock: Callable[[], float]
    take: Take
    """Asked before bytes of a reply are held."""
    trail: list[str] = field(default_factory=list)
    """Agents that passed the request on, earlier sidecars' included."""
    skipped: dict[str, UpstreamFailed] = field(default_factory=dict)

    async def run(self) -> tuple[Answer, Headers]:
        """The first answer and its `x-disrouter-*` headers. Raises Rejected (503, 429) when no agent can answer."""
        self.trail = list(self.asked.visited)
        budget = Budget(self.asked.table.timeouts, self.clock, self.take, stream=self.asked.chat.stream)
        agents = self.asked.itinerary.agents
        for position, agent in enumerate(agents):
            try:
                if agent == self.config.agent:
                    return await self._engine(position, budget)
                return await self._agent(agent, len(agents) - position, budget)
            except Refused:
                pass
            except UpstreamFailed as failure:
                self.skipped[agent] = failure
                self.metrics.skipped(failure.reason)
            self.trail.append(agent)
        raise self._nobody()

    async def _engine(self, position: int, budget: Budget) -> tuple[Answer, Headers]:
        route = self.asked.table.agents[self.config.agent]
        decides = self.asked.itinerary.decides(position, route.awareness)
        started = self.clock()
        try:
            answer = await self._ask_engine(budget, route.awareness if decides else Awareness.NONE, decides, position)
        except (Refused, UpstreamFailed) as outcome:
            decision = names.REFUSE if isinstance(outcome, Refused) else names.SKIP
            self.metrics.decided(decision, self.asked.scenario, self.clock() - started)
            raise
        self.metrics.decided(names.ANSWER, self.asked.scenario, self.clock() - started)
        path = [*([] if self.asked.itinerary.pinned else self.trail), self.config.agent]
        self.metrics.answered(len(path) - 1, route.cost)
        return answer, self._answered_by(self.config.agent, path)

    async def _ask_engine(self, budget: Budget, awareness: Awareness, decides: bool, position: int) -> Answer:
        chat = self.asked.chat
        headers = {"content-type": JSON, HEADER_REQUEST_ID: self.asked.request_id, **self._pass_on(_TRACE_HEADERS)}
        if self.config.engine_key is not None:
            headers["authorization"] = f"Bearer {self.config.engine_key}"
        reply = await self.upstream.ask(
            self.config.engine_url + CHAT_PATH,
            engine_body(chat, self.config.engine_model, self.asked.scenario, awareness),
            headers,
            connect=budget.timeouts.connect,
            head=budget.first(),
        )
        last = position + 1 == len(self.asked.itinerary.agents)
        return await judge_engine(reply, budget, decides=decides, last=last, choices=chat.choices)

    async def _agent(self, agent: str, ahead: int, budget: Budget) -> tuple[Answer, Headers]:
        """Hand the original bytes to another agent's sidecar, which decides for itself and everyone behind it."""
        path = self.trail if self.config.agent in self.trail else [*self.trail, self.config.agent]
        headers = {
            "content-type": self.asked.headers.get("content-type", JSON),
            HEADER_REQUEST_ID: self.asked.request_id,
            HEADER_PATH: ",".join(path),
            **self._pass_on(_HOP_HEADERS),
        }
        reply = await self.upstream.ask(
            self.asked.table.agents[agent].url + CHAT_PATH,
            self.asked.chat.raw,
            headers,
            connect=budget.timeouts.connect,
            head=budget.first(ahead),
        )
        answer = await judge_agent(reply, budget, ahead)
        return answer, {key: value for key, value in reply.headers.items() if key.startswith(HEADER_PREFIX)}

    def _pass_on(self, names: Sequence[str]) -> Headers:
        return {name: value for name in names if (value := self.asked.headers.get(name)) is not None}

    def _answered_by(self, agent: str, path: Sequence[str]) -> Headers:
        headers = {HEADER_AGENT: agent, HEADER_PATH: ",".join(path), HEADER_HOPS: str(len(path) - 1)}
        if self.asked.scenario is not None:
            headers[HEADER_SCENARIO] = self.asked.scenario
        return headers

    def _nobody(self) -> Rejected:
        reasons = "; ".join(f"{agent}: {failure.reason} ({failure.detail})" for agent, failure in self.skipped.items())
        message = f"no agent can answer now (path: {' -> '.join(self.trail)}; {reasons or 'nobody is left to ask'})"
        last = next(reversed(self.skipped.values()), None)
        limited = last is not None and last.reason is Reason.RATE_LIMITED
        status, code = (429, "rate_limit_exceeded") if limited else (503, "no_agent_available")
        return Rejected(status, code, f"{message}; try again shortly", path=tuple(self.trail))
