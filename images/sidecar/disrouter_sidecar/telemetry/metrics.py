"""Prometheus metrics; every label is bounded by the route table or by an enum."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from disrouter.routes import RouteTable
from disrouter.scenario import Scenario
from disrouter_sidecar.errors import Reason
from disrouter_sidecar.mounted_files import Mounted
from disrouter_sidecar.openai.usage import Usage
from disrouter_sidecar.telemetry.prometheus_text import Buckets, Count, Counter, Gauge, Histogram, Registry

PINNED = "pinned"
"""Value of the label `scenario` for a request that named its agent."""
ANSWER, REFUSE, FAILOVER, FALLBACK = "answer", "refuse", "failover", "fallback"
_OWN = ("cascade", "agent")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_OVERHEAD = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25)
_HOPS = (0, 1, 2, 3, 4, 6, 8, 16, 32, 64)


class Metrics:
    """The sidecar's numbers, in a registry of their own so that one process can hold several sidecars."""

    def __init__(self, cascade: str, agent: str, routes: Mounted[RouteTable]) -> None:
        self.registry = Registry()
        self._own = (cascade, agent)
        self._labels = {"cascade": cascade, "agent": agent}
        self._decisions = Counter(
            "disrouter_agent_decisions",
            "What this agent did: answer, refuse, failover (its engine failed), fallback (all agents after it failed).",
            (*_OWN, "scenario", "decision"),
            registry=self.registry,
        )
        self._children: dict[tuple[Scenario | None, str], Count] = {}
        self._decision_seconds = self._histogram(
            "decision_seconds", "From asking the engine until it answered or refused.", _SECONDS
        )
        self._hops = self._histogram("hops", "Agents that passed a request on before this one answered it.", _HOPS)
        self._overhead = self._histogram(
            "overhead_seconds", "The sidecar's own work from the body read until the first agent is asked.", _OVERHEAD
        )
        self._errors = Counter(
            "disrouter_failovers",
            "Agents that could not be used, so that the next one was asked, by reason.",
            ("reason",),
            registry=self.registry,
        )
        for reason in Reason:
            self._errors.labels(reason)
        self.jumps = self._counter("jumps", "Refusals so certain that agents between were jumped over.")
        self.retries_denied = self._counter(
            "retries_denied", "Failures that ended a request: the retry budget was spent."
        )
        self.unreadable_probes = self._counter(
            "unreadable_probability_probes",
            "Probability probes without a readable probability: the text decided instead.",
        )
        self.unfamiliar_probes = self._counter(
            "unfamiliar_probability_probes",
            "Probability probes of replies that begin neither as refusals nor as answers do: the text decided instead.",
        )
        self.undecidable = self._counter(
            "undecidable_replies",
            "Replies of the engine that cannot be judged; spec.undecidable says what becomes of them.",
        )
        self._cost = self._own_count("cost", "Cost of the answers, in the cascade's unit.")
        self._refused_tokens = Counter(
            "disrouter_refused_tokens", "Tokens of this agent's refusals.", (*_OWN, "kind"), registry=self.registry
        )
        self._outcomes = Counter(
            "disrouter_requests",
            "Requests that ended, by what became of them: answer, client_gone, broken_<reason>, or an error's code.",
            (*_OWN, "outcome"),
            registry=self.registry,
        )
        self._ended: dict[str, Count] = {}
        self._routes = routes
        self._show_load()
        self._show_routes(routes)

    def _show_load(self) -> None:
        """What an autoscaler reads: how much has come, how much of it is at the engine, and who else was wanted."""
        self.inflight = 0
        """Requests being served now."""
        self.elsewhere = 0
        """Those of them that another agent has been asked for."""
        self._gauge("inflight_requests", "Requests being served now.", lambda: self.inflight)
        self._gauge(
            "engine_inflight_requests",
            "Requests at the local engine now, those that wait there included.",
            lambda: self.inflight - self.elsewhere,
        )
        self.received = self._own_count(
            "received_requests", "Valid requests that came; counted at once, not when they end."
        )
        self.settled = self._own_count(
            "settled_requests",
            "Those of them of which it is settled whether they go on to another agent: decided here or not.",
        )
        self._wanted = Counter(
            "disrouter_wanted_hops",
            "Times that a request was to go on to an agent, whether that could be reached or not.",
            (*_OWN, "to"),
            registry=self.registry,
        )

    def _show_routes(self, routes: Mounted[RouteTable]) -> None:
        self._gauge(
            "route_table_generation",
            "Generation of the table in use, -1 without one.",
            lambda: -1 if routes.current is None else routes.current.generation,
        )
        self._gauge(
            "route_table_rejected", "1 while the table's file cannot be used.", lambda: routes.problem is not None
        )

    def _histogram(self, name: str, text: str, buckets: Sequence[float]) -> Buckets:
        whole = Histogram(f"disrouter_{name}", text, _OWN, buckets=buckets, registry=self.registry)
        return whole.labels(*self._own)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(f"disrouter_{name}", text, registry=self.registry)

    def _own_count(self, name: str, text: str) -> Count:
        """One that is shown from the start: of one that begins at one, Prometheus does not see that it has risen."""
        return Counter(f"disrouter_{name}", text, _OWN, registry=self.registry).labels(*self._own)

    def _gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        Gauge(f"disrouter_{name}", text, read, self._labels, registry=self.registry)

    def follow(self, breakers_open: Callable[[], float], adapter_pending: Callable[[], bool]) -> None:
        """Add gauges of what the sidecar remembers of agents between requests."""
        self._gauge(
            "breakers_open",
            "Agents, the local engine included, that are left alone after failures.",
            breakers_open,
        )
        self._gauge(
            "adapter_pending",
            "1 while the route table's adapter is not loaded.",
            adapter_pending,
        )

    def decided(self, decision: str, scenario: Scenario | None, seconds: float) -> None:
        """What this agent's engine decided, `seconds` after it was asked."""
        count = self._children.get((scenario, decision))
        if count is None:
            count = self._decisions.labels(*self._own, scenario or PINNED, decision)
            self._children[scenario, decision] = count
        count.value += 1
        if decision != FAILOVER:
            self._decision_seconds.observe(seconds)

    def ended(self, outcome: str) -> None:
        """A request ended so; outcomes are constants of this program, never a client's text."""
        count = self._ended.get(outcome)
        if count is None:
            count = self._ended[outcome] = self._outcomes.labels(*self._own, outcome)
        count.value += 1

    def wanted(self, agent: str) -> None:
        """A request is to go on to this agent."""
        self._wanted.labels(*self._own, agent).inc()

    def answered(self, hops: int, cost: float) -> None:
        """This agent's answer is being sent."""
        self._hops.observe(hops)
        self._cost.inc(cost)

    def failed_over(self, reason: Reason) -> None:
        """An agent, this one or a later one, could not be used, so the next is asked."""
        self._errors.labels(reason).inc()

    def refused(self, usage: Usage) -> None:
        """This agent's engine used these tokens for a refusal."""
        for kind, tokens in (("prompt", usage.prompt_tokens), ("completion", usage.completion_tokens)):
            self._refused_tokens.labels(*self._own, kind).inc(tokens or 0)

    def overhead(self, seconds: float) -> None:
        """Seconds of the sidecar's own work before it asked the first agent."""
        self._overhead.observe(seconds)

    def render(self) -> bytes:
        """The exposition text.

        Every agent that may be wanted is shown before it is: Prometheus does not see a counter rise that begins at one.
        """
        table = self._routes.current
        for agent in table.agents if table is not None else ():
            if agent != self._own[1]:
                self._wanted.labels(*self._own, agent)
        return self.registry.render()
