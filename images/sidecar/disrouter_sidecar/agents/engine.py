"""The local engine, asked in one of three ways: decide by text, decide by probability, or must-answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from disrouter.names import HEADER_REQUEST_ID
from disrouter.routes import ProbabilityRoute
from disrouter.scenario import Scenario
from disrouter.terms import Awareness, answers
from disrouter_sidecar.agents.attempt import Attempt, AttemptContext, EngineAttempt
from disrouter_sidecar.agents.decision import usage_of_whole
from disrouter_sidecar.agents.lora_adapter import Adapters, Served
from disrouter_sidecar.agents.outcomes import Answer, AttemptListener, Refused
from disrouter_sidecar.agents.probability_probe import chance_of, probe_fields
from disrouter_sidecar.config import Config
from disrouter_sidecar.headers import lines
from disrouter_sidecar.http.ports import Upstream
from disrouter_sidecar.openai import DIALECTS
from disrouter_sidecar.openai.errors import JSON
from disrouter_sidecar.openai.preference import Preference
from disrouter_sidecar.openai.query import dumps, engine_fields
from disrouter_sidecar.request.context import RequestContext
from disrouter_sidecar.telemetry.metrics import Metrics


class Cancellable(Protocol):
    """Work that can be cancelled."""

    def cancel(self) -> None:
        """The client has left: end the work, and call no listener any more."""
        ...


class Engine:
    """The engine beside this sidecar."""

    def __init__(self, config: Config, upstream: Upstream, adapters: Adapters, metrics: Metrics) -> None:
        self.adapters = adapters
        self.metrics = metrics
        self._upstream = upstream
        self.use(config)

    def use(self, config: Config) -> None:
        """Ask the engine that this configuration names."""
        self._own = config.agent
        self._urls = {dialect.path: config.engine_base + dialect.path for dialect in DIALECTS}
        self._head = lines({"content-type": JSON, **config.engine_bearer})
        self._overridden = frozenset(config.engine_headers)
        """Headers that the manifest sets; they replace those of the same name that the sidecar would send."""

    def answer(self, parent: AttemptContext, *, last: bool) -> Attempt:
        """Must-answer: asked without an instruction, so that it does not refuse. Raises UpstreamFailed."""
        attempt = EngineAttempt(parent, parent.budget, parent.context.query, decides=False, last=last)
        self._ask(attempt, parent, self._fields(parent.context, None, Awareness.NONE))
        return attempt

    def decide(self, parent: AttemptContext, preference: Preference) -> Cancellable:
        """Let it decide, by text or by probability. Raises UpstreamFailed."""
        served = self.served(parent.context)
        route = served.route
        if route.probability is not None and parent.context.query.dialect.probed:
            return ProbabilityDecision(self, parent, preference, route.probability, route.awareness)
        return self.decide_by_text(parent, preference, served)

    def decide_by_text(self, parent: AttemptContext, preference: Preference, served: Served) -> Attempt:
        """Let it decide by the text of its reply. Raises UpstreamFailed."""
        query, route = parent.context.query, served.route
        attempt = EngineAttempt(parent, parent.budget, query, decides=True, last=False)
        self._ask(
            attempt,
            parent,
            engine_fields(query, served.model, preference.stated(route.preference_encoding), route.awareness),
        )
        return attempt

    def probe(
        self, parent: AttemptContext, listener: AttemptListener, scenario: Scenario, awareness: Awareness
    ) -> Attempt:
        """Ask for the probabilities of its first token. Raises UpstreamFailed."""
        attempt = Attempt(listener, parent.budget)
        self._ask(attempt, parent, probe_fields(self._fields(parent.context, scenario, awareness)))
        return attempt

    def served(self, context: RequestContext) -> Served:
        """The model that it serves now, and what the route table says of it."""
        return self.adapters.serving(context.table.agents[self._own])

    def _fields(self, context: RequestContext, scenario: Scenario | None, awareness: Awareness) -> dict[str, Any]:
        return engine_fields(context.query, self.served(context).model, scenario, awareness)

    def _ask(self, attempt: Attempt, parent: AttemptContext, fields: Mapping[str, Any]) -> None:
        context, trace = parent.context, parent.trace()
        if trace or self._overridden:
            own = {HEADER_REQUEST_ID: context.request_id, **trace}
            head = self._head + lines({name: value for name, value in own.items() if name not in self._overridden})
        else:
            head = f"{self._head}{HEADER_REQUEST_ID}: {context.request_id}\r\n"
        attempt.ask(self._upstream, self._urls[context.query.dialect.path], head, dumps(fields))


class ProbabilityDecision:
    """Decides by probability: probes first, then asks for the answer or refuses; without a probability, by text."""

    __slots__ = ("_current", "_engine", "_parent", "_preference", "_route")

    def __init__(
        self,
        engine: Engine,
        parent: AttemptContext,
        preference: Preference,
        route: ProbabilityRoute,
        awareness: Awareness,
    ) -> None:
        self._engine = engine
        self._parent = parent
        self._preference = preference
        self._route = route
        self._current = engine.probe(parent, self, route.calibration.scenario, awareness)

    def cancel(self) -> None:
        """The client has left."""
        self._current.cancel()

    def answered(self, answer: Answer) -> None:
        """`AttemptListener` of the probe."""
        try:
            self._decide(answer.held)
        except Exception as error:
            self._parent.failed(error)

    def failed(self, error: Exception) -> None:
        """`AttemptListener` of the probe."""
        self._parent.failed(error)

    def _decide(self, probed: bytes) -> None:
        engine, route, parent = self._engine, self._route, self._parent
        chance = chance_of(probed, route.calibration.token)
        if chance is None:
            engine.metrics.unreadable_probes.inc()
            self._current = engine.decide_by_text(parent, self._preference, engine.served(parent.context))
            return
        competence = route.calibration.competence(chance)
        if answers(competence, self._preference.alpha, route.gamma):
            self._current = engine.answer(parent, last=False)
            return
        hopeless = route.jump is not None and competence < route.jump.below
        raise Refused(route.jump.to if route.jump is not None and hopeless else None, usage_of_whole(probed))
