"""The own engine, asked in one of three ways: decide in words, decide by the first token's chances, or just answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from disrouter.calibration import answers
from disrouter.names import HEADER_REQUEST_ID
from disrouter.routes import AgentRoute, Awareness, ProbabilityRoute
from disrouter.scenario import Scenario
from disrouter_sidecar.adapter import Adapters
from disrouter_sidecar.api.query import dumps, engine_fields
from disrouter_sidecar.asked import Asked
from disrouter_sidecar.attempt import Answer, judge_engine, read
from disrouter_sidecar.budget import Budget
from disrouter_sidecar.config import Config
from disrouter_sidecar.errors import Refused
from disrouter_sidecar.failures import failure_of, reason_of
from disrouter_sidecar.metrics import Metrics
from disrouter_sidecar.ports import Reply, Upstream
from disrouter_sidecar.probe import chance_of, probe_fields
from disrouter_sidecar.replies import JSON
from disrouter_sidecar.wish import Wish


@dataclass(slots=True)
class Engine:
    """The engine beside this sidecar, for one request."""

    asked: Asked
    config: Config
    upstream: Upstream
    adapters: Adapters
    metrics: Metrics
    budget: Budget

    async def answer(self, *, last: bool) -> Answer:
        """Its words, whatever they are: without instruction it does not refuse. Raises UpstreamFailed."""
        reply = await self._ask(self._fields(None, Awareness.NONE))
        return await judge_engine(reply, self.budget, decides=False, last=last, query=self.asked.query)

    async def decide(self, wish: Wish) -> Answer:
        """Its answer. Raises Refused or UpstreamFailed."""
        route = self.adapters.serving(self._route).route
        if route.probability is not None and self.asked.query.dialect.probed:
            competence = await self._competence(route.probability, route.awareness)
            if competence is not None:
                return await self._by_competence(competence, wish.alpha, route.probability)
            self.metrics.unreadable_probes.inc()
        reply = await self._ask(self._fields(wish.scenario, route.awareness))
        return await judge_engine(reply, self.budget, decides=True, last=False, query=self.asked.query)

    async def _by_competence(self, competence: float, alpha: float, route: ProbabilityRoute) -> Answer:
        if answers(competence, alpha, route.gamma):
            return await self.answer(last=False)
        hopeless = route.skip is not None and competence < route.skip.below
        raise Refused(route.skip.to if route.skip is not None and hopeless else None)

    async def _competence(self, route: ProbabilityRoute, awareness: Awareness) -> float | None:
        """How likely its answer would be right, None where its logprobs do not tell. Raises UpstreamFailed."""
        reply = await self._ask(probe_fields(self._fields(route.calibration.scenario, awareness)))
        try:
            body = await read(reply, self.budget)
        finally:
            reply.close()
        reason = reason_of(reply.status, body)
        if reason is not None:
            raise failure_of(reply, reason)
        chance = chance_of(body, route.calibration.token)
        return None if chance is None else route.calibration.competence(chance)

    @property
    def _route(self) -> AgentRoute:
        return self.asked.table.agents[self.config.agent]

    def _fields(self, scenario: Scenario | None, awareness: Awareness) -> dict[str, Any]:
        model = self.adapters.serving(self._route).model
        return engine_fields(self.asked.query, model, scenario, awareness)

    async def _ask(self, fields: Mapping[str, Any]) -> Reply:
        headers = {
            "content-type": JSON,
            HEADER_REQUEST_ID: self.asked.request_id,
            **self.asked.trace_headers(),
            **self.config.engine_bearer,
        }
        url = self.config.engine_base + self.asked.query.dialect.path
        return await self.upstream.ask(
            url, dumps(fields), headers, connect=self.budget.connect(), head=self.budget.first()
        )
