"""The own engine, asked in one of three ways: decide in words, decide by the first token's chances, or just answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from disrouter.names import HEADER_REQUEST_ID
from disrouter.routes import ProbabilityRoute
from disrouter.scenario import Scenario
from disrouter.terms import Awareness, answers
from disrouter_sidecar.agents.attempt import Attempt, EngineAttempt, Errand
from disrouter_sidecar.agents.decision import usage_of_whole
from disrouter_sidecar.agents.lora_adapter import Adapters, Served
from disrouter_sidecar.agents.outcomes import Answer, Outcome, Refused
from disrouter_sidecar.agents.probability_probe import chance_of, probe_fields
from disrouter_sidecar.config import Config
from disrouter_sidecar.headers import lines
from disrouter_sidecar.http.ports import Upstream
from disrouter_sidecar.openai import DIALECTS
from disrouter_sidecar.openai.errors import JSON
from disrouter_sidecar.openai.preference import Wish
from disrouter_sidecar.openai.query import dumps, engine_fields
from disrouter_sidecar.request.context import Asked
from disrouter_sidecar.telemetry.metrics import Metrics


class Cancelled(Protocol):
    """What is under way and can be ended."""

    def cancel(self) -> None:
        """The client has left: nothing is told any more."""
        ...


class Engine:
    """The engine beside this sidecar."""

    def __init__(self, config: Config, upstream: Upstream, adapters: Adapters, metrics: Metrics) -> None:
        self.adapters = adapters
        self.metrics = metrics
        self._upstream = upstream
        self.use(config)

    def use(self, config: Config) -> None:
        """Ask where and as this says."""
        self._own = config.agent
        self._urls = {dialect.path: config.engine_base + dialect.path for dialect in DIALECTS}
        self._head = lines({"content-type": JSON, **config.engine_bearer})
        self._set = frozenset(config.engine_headers)
        """What the manifest sets for the provider is not sent twice."""

    def answer(self, errand: Errand, *, last: bool) -> Attempt:
        """Its words, whatever they are: without instruction it does not refuse. Raises UpstreamFailed."""
        attempt = EngineAttempt(errand, errand.budget, errand.asked.query, decides=False, last=last)
        self._ask(attempt, errand, self._fields(errand.asked, None, Awareness.NONE))
        return attempt

    def decide(self, errand: Errand, wish: Wish) -> Cancelled:
        """Its answer, or Refused. Raises UpstreamFailed."""
        served = self.served(errand.asked)
        route = served.route
        if route.probability is not None and errand.asked.query.dialect.probed:
            return Probing(self, errand, wish, route.probability, route.awareness)
        return self.words(errand, wish, served)

    def words(self, errand: Errand, wish: Wish, served: Served) -> Attempt:
        """The same by what it says."""
        query, route = errand.asked.query, served.route
        attempt = EngineAttempt(errand, errand.budget, query, decides=True, last=False)
        self._ask(
            attempt, errand, engine_fields(query, served.model, wish.told(route.preference_encoding), route.awareness)
        )
        return attempt

    def probe(self, errand: Errand, tell: Outcome, scenario: Scenario, awareness: Awareness) -> Attempt:
        """The chances of its first token, as an answer to read. Raises UpstreamFailed."""
        attempt = Attempt(tell, errand.budget)
        self._ask(attempt, errand, probe_fields(self._fields(errand.asked, scenario, awareness)))
        return attempt

    def served(self, asked: Asked) -> Served:
        """What it can be asked for now."""
        return self.adapters.serving(asked.table.agents[self._own])

    def _fields(self, asked: Asked, scenario: Scenario | None, awareness: Awareness) -> dict[str, Any]:
        return engine_fields(asked.query, self.served(asked).model, scenario, awareness)

    def _ask(self, attempt: Attempt, errand: Errand, fields: Mapping[str, Any]) -> None:
        asked, trace = errand.asked, errand.trace()
        if trace or self._set:
            own = {HEADER_REQUEST_ID: asked.request_id, **trace}
            head = self._head + lines({name: value for name, value in own.items() if name not in self._set})
        else:
            head = f"{self._head}{HEADER_REQUEST_ID}: {asked.request_id}\r\n"
        attempt.ask(self._upstream, self._urls[asked.query.dialect.path], head, dumps(fields))


class Probing:
    """The probability mode: a probe first, then the answer, a refusal or, where it told nothing, the words."""

    __slots__ = ("_current", "_engine", "_errand", "_route", "_wish")

    def __init__(
        self, engine: Engine, errand: Errand, wish: Wish, route: ProbabilityRoute, awareness: Awareness
    ) -> None:
        self._engine = engine
        self._errand = errand
        self._wish = wish
        self._route = route
        self._current = engine.probe(errand, self, route.calibration.scenario, awareness)

    def cancel(self) -> None:
        """The client has left."""
        self._current.cancel()

    def answered(self, answer: Answer) -> None:
        """`Outcome` of the probe."""
        try:
            self._go_on(answer.held)
        except Exception as error:
            self._errand.failed(error)

    def failed(self, error: Exception) -> None:
        """`Outcome` of the probe."""
        self._errand.failed(error)

    def _go_on(self, told: bytes) -> None:
        engine, route, errand = self._engine, self._route, self._errand
        chance = chance_of(told, route.calibration.token)
        if chance is None:
            engine.metrics.unreadable_probes.inc()
            self._current = engine.words(errand, self._wish, engine.served(errand.asked))
            return
        competence = route.calibration.competence(chance)
        if answers(competence, self._wish.alpha, route.gamma):
            self._current = engine.answer(errand, last=False)
            return
        hopeless = route.jump is not None and competence < route.jump.below
        raise Refused(route.jump.to if route.jump is not None and hopeless else None, usage_of_whole(told))
