"""The local engine: asked to decide by its text, by the chance of its first token, or first of all; or to answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from disrouter.names import HEADER_REQUEST_ID
from disrouter.routes import AgentRoute, ProbabilityRoute
from disrouter.scenario import Scenario, reject_threshold
from disrouter.terms import Awareness, answers
from disrouter_sidecar.agents.abilities import Abilities
from disrouter_sidecar.agents.attempt import Attempt, AttemptContext
from disrouter_sidecar.agents.engine_attempt import EngineAttempt, Judging, judging_of
from disrouter_sidecar.agents.failures import lacks_by_error
from disrouter_sidecar.agents.lora_adapter import Adapters, Served
from disrouter_sidecar.agents.outcomes import Answered, AttemptListener, Failed, Outcome, Refused, outcome_of
from disrouter_sidecar.config import Config
from disrouter_sidecar.decision.probability_probe import probe_fields, signal_of
from disrouter_sidecar.decision.whole import usage_of_whole
from disrouter_sidecar.errors import UpstreamFailed
from disrouter_sidecar.headers import Lines, lines
from disrouter_sidecar.http.ports import SentRequest, Upstream
from disrouter_sidecar.openai import DIALECTS, Dialect
from disrouter_sidecar.openai.constraints import CONSTRAINTS, binding, shortest, unconstrained
from disrouter_sidecar.openai.errors import JSON
from disrouter_sidecar.openai.preference import Preference
from disrouter_sidecar.openai.query import Query, dumps, engine_fields
from disrouter_sidecar.request.context import RequestContext
from disrouter_sidecar.telemetry.metrics import Metrics

_NONE = Awareness.NONE


class Cancellable(Protocol):
    """Work that can be cancelled."""

    def cancel(self) -> None:
        """The client has left: end the work, and call no listener any more."""
        ...


class LocalEngine(Protocol):
    """The engine beside this sidecar, as a request's run asks it."""

    @property
    def plain_head(self) -> Lines | None:
        """The header lines of each of its requests but for the id's, which comes last; None where requests differ."""
        ...

    def use(self, config: Config) -> None:
        """Ask the engine that this configuration names."""
        ...

    def answer(self, parent: AttemptContext, *, last: bool) -> Cancellable:
        """Must-answer. Raises UpstreamFailed."""
        ...

    def decide(self, parent: AttemptContext, preference: Preference) -> Cancellable:
        """Let it decide. Raises UpstreamFailed."""
        ...

    def check(self, parent: AttemptContext, listener: AttemptListener) -> Cancellable:
        """See whether it takes the client's own request. Raises UpstreamFailed."""
        ...


class Engine:
    """The engine beside this sidecar."""

    def __init__(
        self, config: Config, upstream: Upstream, adapters: Adapters, abilities: Abilities, metrics: Metrics
    ) -> None:
        self.adapters = adapters
        self.abilities = abilities
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

    @property
    def plain_head(self) -> Lines | None:
        """`LocalEngine`."""
        return None if self._overridden else self._head

    def url_of(self, dialect: Dialect) -> str:
        """Where an API is asked."""
        return self._urls[dialect.path]

    def answer(self, parent: AttemptContext, *, last: bool) -> Attempt:
        """Must-answer: asked without an instruction, so that it does not refuse. Raises UpstreamFailed."""
        attempt = self._attempt(parent, _relays(parent.context.query, last=last))
        self._ask(attempt, parent, self._fields(parent.context, None, _NONE))
        return attempt

    def answer_or_pass(self, parent: AttemptContext) -> Attempt:
        """Asked without an instruction, with others behind it: what it refuses all the same is passed on to them.

        Training may teach an agent to refuse more than it is asked to. Raises UpstreamFailed.
        """
        query, route = parent.context.query, self.served(parent.context).route
        attempt = self._attempt(parent, judging_by_text(query, route)._replace(instructed=False))
        self._ask(attempt, parent, self._fields(parent.context, None, _NONE))
        return attempt

    def decide(self, parent: AttemptContext, preference: Preference) -> Cancellable:
        """Let it decide, by text or by probability. Raises UpstreamFailed."""
        served = self.served(parent.context)
        route = served.route
        if route.probability is not None and parent.context.query.dialect.probed:
            return ProbabilityDecision(self, parent, preference, route.probability, route.awareness)
        return self.decide_by_text(parent, preference, served)

    def decide_by_text(self, parent: AttemptContext, preference: Preference, served: Served) -> Cancellable:
        """Let it decide by the text of its reply. Raises UpstreamFailed."""
        query = parent.context.query
        deferral = served.route.deferral_tool and query.tools
        if deferral:
            query = query.with_fields(query.dialect.offer_deferral(query.fields))
        if not CONSTRAINTS.isdisjoint(query.fields):
            bound = binding(query.fields, deferral=deferral)
            if bound:
                free = query.replaced(unconstrained(query.fields, bound, query.dialect.limits))
                return DecisionFirst(self, parent, preference, served, free)
        return self.let_decide(parent, parent, query, preference, served)

    def let_decide(
        self, parent: AttemptContext, listener: AttemptListener, query: Query, preference: Preference, served: Served
    ) -> Attempt:
        """Ask it this question, instructed. Raises UpstreamFailed."""
        attempt = EngineAttempt(listener, parent.budget, parent.context, judging_by_text(query, served.route), self)
        stated = preference.stated(served.route.preference_encoding)
        self._ask(attempt, parent, engine_fields(query, served.model, stated, served.route.awareness))
        return attempt

    def go_on(self, parent: AttemptContext, served: Served, sent: SentRequest, *, decides: bool) -> Attempt:
        """Judge the reply to a plain chat that it was asked before, as one of `decide` or of the last `answer`."""
        query = parent.context.query
        attempt = self._attempt(parent, judging_by_text(query, served.route) if decides else _relays(query, last=True))
        attempt.take(sent)
        return attempt

    def _attempt(self, parent: AttemptContext, judging: Judging) -> EngineAttempt:
        return EngineAttempt(parent, parent.budget, parent.context, judging, self)

    def check(self, parent: AttemptContext, listener: AttemptListener) -> Attempt:
        """Ask for the least of the client's own request, to see whether the engine takes it. Raises UpstreamFailed."""
        judging = judging_of(1, parent.context.query.stream, refuses=False, last=True)
        attempt = EngineAttempt(listener, parent.budget, parent.context, judging, self)
        self._ask(attempt, parent, shortest(self._fields(parent.context, None, _NONE)))
        return attempt

    def undecidable(self) -> None:
        """`EngineObserver`: count a reply that cannot be judged."""
        self.metrics.undecidable.inc()

    def rejected(self, context: RequestContext, body: bytes) -> None:
        """`EngineObserver`: learn from an error what the engine cannot do."""
        lacks, length = lacks_by_error(body)
        self.abilities.learn(lacks & context.needs().capabilities, length)

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
        attempt.ask(self._upstream, self.url_of(context.query.dialect), head, dumps(fields))


def judging_by_text(query: Query, route: AgentRoute) -> Judging:
    """How a reply is judged that may refuse."""
    instructed = route.awareness is not _NONE
    return judging_of(query.choices, query.stream, query.stops, route.prompt_opens_reasoning, instructed)


def _relays(query: Query, *, last: bool) -> Judging:
    return judging_of(query.choices, query.stream, query.stops, refuses=False, last=last)


class RejectionCheck:
    """An instructed request that the engine has rejected may be right without the instruction, which is tried here.

    What the plain request earns too is the client's to see; what only the instruction has caused is not.
    """

    __slots__ = ("_attempt", "_parent", "_rejected")

    def __init__(self, engine: LocalEngine, parent: AttemptContext, rejected: UpstreamFailed) -> None:
        self._parent = parent
        self._rejected = UpstreamFailed(rejected.reason, rejected.detail)
        self._attempt = engine.check(parent, self)

    def cancel(self) -> None:
        """The client has left."""
        self._attempt.cancel()

    def ended(self, outcome: Outcome) -> None:
        """`AttemptListener`."""
        if isinstance(outcome, Answered) and not 200 <= outcome.reply.status < 300:
            self._parent.ended(outcome)
            return
        if isinstance(outcome, Answered):
            outcome.reply.close(ending=True)
        self._parent.ended(Failed(self._rejected))


class TwoSteps:
    """Asks the engine twice: what the first reply says decides what comes next."""

    __slots__ = ("_current", "_engine", "_parent")

    _current: Cancellable

    def __init__(self, engine: Engine, parent: AttemptContext) -> None:
        self._engine = engine
        self._parent = parent

    def cancel(self) -> None:
        """The client has left."""
        self._current.cancel()

    def ended(self, outcome: Outcome) -> None:
        """`AttemptListener` of the first step: the second follows, unless it refuses or the engine failed."""
        if not isinstance(outcome, Answered):
            self._parent.ended(outcome)
            return
        try:
            refused = self._go_on(outcome)
        except Exception as error:
            self._parent.ended(outcome_of(error))
            return
        if refused is not None:
            self._parent.ended(refused)

    def _go_on(self, first: Answered) -> Refused | None:
        """Ask again, or refuse. Raises UpstreamFailed and InvalidRequest."""
        raise NotImplementedError


class DecisionFirst(TwoSteps):
    """Decides by a question without what binds the reply, a grammar for example, then asks for the answer under it."""

    __slots__ = ()

    def __init__(
        self, engine: Engine, parent: AttemptContext, preference: Preference, served: Served, free: Query
    ) -> None:
        super().__init__(engine, parent)
        self._current = engine.let_decide(parent, self, free, preference, served)

    def _go_on(self, first: Answered) -> None:
        """It does not refuse, so its generation ends here."""
        first.reply.close()
        self._current = self._engine.answer(self._parent, last=False)


class ProbabilityDecision(TwoSteps):
    """Decides by probability: probes first, then asks for the answer or refuses.

    By text where the probe cannot be read, or where replies begin so unlike those of the calibration that it says
    nothing.
    """

    __slots__ = ("_preference", "_route")

    def __init__(
        self,
        engine: Engine,
        parent: AttemptContext,
        preference: Preference,
        route: ProbabilityRoute,
        awareness: Awareness,
    ) -> None:
        super().__init__(engine, parent)
        self._preference = preference
        self._route = route
        self._current = engine.probe(parent, self, route.calibration.scenario, awareness)

    def _go_on(self, first: Answered) -> Refused | None:
        engine, route, parent, probed = self._engine, self._route, self._parent, first.held
        signal = signal_of(probed, route.calibration)
        if signal is None or not route.calibration.knows(signal):
            (engine.metrics.unreadable_probes if signal is None else engine.metrics.unfamiliar_probes).inc()
            self._current = engine.decide_by_text(parent, self._preference, engine.served(parent.context))
            return None
        competence = route.calibration.competence(signal)
        parent.weighed(signal.refusal, competence, reject_threshold(self._preference.alpha, route.gamma))
        if answers(competence, self._preference.alpha, route.gamma):
            self._current = engine.answer_or_pass(parent)
            return None
        hopeless = route.jump is not None and competence < route.jump.below
        return Refused(route.jump.to if route.jump is not None and hopeless else None, usage_of_whole(probed))
