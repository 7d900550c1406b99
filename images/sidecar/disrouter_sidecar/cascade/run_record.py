"""What a run counts and remembers of its attempts: for the metrics, the log, the headers, and whoever asks why."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from disrouter.names import HEADER_AGENT, HEADER_DECISIONS, HEADER_REFUSED
from disrouter.routes import AgentRoute
from disrouter.scenario import Scenario
from disrouter_sidecar.agents.next_hop import headers_of_hops
from disrouter_sidecar.agents.outcomes import Refused
from disrouter_sidecar.cascade import decision_trail
from disrouter_sidecar.cascade.decision_trail import Decision, Evidence
from disrouter_sidecar.errors import UpstreamFailed
from disrouter_sidecar.headers import Headers
from disrouter_sidecar.http.ports import Reply
from disrouter_sidecar.openai.usage import Usage, header_of, records_of
from disrouter_sidecar.telemetry import metrics as names
from disrouter_sidecar.telemetry.logs import milliseconds
from disrouter_sidecar.telemetry.metrics import Metrics


class RunRecord:
    """One request's."""

    __slots__ = (
        "_clock", "_evidence", "_metrics", "_own", "_refusal_usage", "_scenario", "_settled", "_started",
        "decisions", "failed_agents",
    )  # fmt: skip

    def __init__(self, own: str, scenario: Scenario | None, metrics: Metrics, clock: Callable[[], float]) -> None:
        self.failed_agents: dict[str, UpstreamFailed] = {}
        self.decisions: list[Decision] = []
        """One for each agent that was asked or passed over, those behind a hop included."""
        self._own = own
        self._scenario = scenario
        self._metrics = metrics
        self._clock = clock
        self._settled = False
        self._started: float | None = None
        """When the current attempt began; None where its agent was passed over unasked."""
        self._refusal_usage: Usage | None = None
        """Tokens of the local engine's refusal."""
        self._evidence: Evidence | None = None
        """What the current attempt's decision is made from."""

    def began(self, moment: float | None) -> None:
        """An attempt begins, now or at that moment."""
        self._started = self._clock() if moment is None else moment

    def settled(self) -> None:
        """It is settled whether the request goes on to another agent; counted once, and at its end at the latest."""
        if not self._settled:
            self._settled = True
            self._metrics.settled.value += 1

    def weighed(self, refusal_probability: float, competence: float, threshold: float) -> None:
        """The decision of the current attempt is made from these."""
        evidence = {"refusal_probability": refusal_probability, "competence": competence, "threshold": threshold}
        self._evidence = {name: round(value, 6) for name, value in evidence.items()}

    def refused(self, agent: str, refusal: Refused, cost: float) -> None:
        """The local engine has refused."""
        usage = self._refusal_usage = refusal.usage or Usage()
        seconds, self._started = self._seconds() or 0.0, None
        self.settled()
        self._metrics.refused(usage)
        self._metrics.decided(names.REFUSE, self._scenario, seconds)
        self._decided(agent, names.REFUSE, cost, seconds).update(usage.known())
        if refusal.to is not None:
            self._metrics.jumps.inc()

    def failed(self, agent: str, failure: UpstreamFailed, cost: float) -> None:
        """An agent has failed, or was passed over."""
        self.failed_agents[agent] = failure
        seconds, self._started = self._seconds(), None
        self._decided(agent, names.FAILOVER, cost, seconds)["reason"] = failure.reason.value
        self._metrics.failed_over(failure.reason)
        if agent == self._own:
            self.settled()
            self._metrics.decided(names.FAILOVER, self._scenario, 0)

    def answered(self, hops: int, cost: float, *, fallback: bool) -> None:
        """The local engine has answered."""
        decision, seconds = names.FALLBACK if fallback else names.ANSWER, self._seconds() or 0.0
        self.settled()
        self._decided(self._own, decision, cost, seconds)
        self._metrics.decided(decision, self._scenario, seconds)
        self._metrics.answered(hops, cost)

    def told(self, decisions: str | None) -> bool:
        """What the agents behind a hop decided, by the header of the sidecar there; whether it tells anything."""
        behind = records_of(decisions)
        self.decisions += behind
        return bool(behind)

    def answered_behind(self, reply: Reply, agents: Mapping[str, AgentRoute]) -> Headers:
        """An agent behind a hop has answered: the headers that its sidecar has written.

        Of a sidecar that does not tell more, only who did is known.
        """
        headers = headers_of_hops(reply)
        answered_by = headers.get(HEADER_AGENT)
        if not self.told(reply.headers.get(HEADER_DECISIONS)) and answered_by is not None and answered_by in agents:
            self._decided(answered_by, names.ANSWER, agents[answered_by].cost, self._seconds() or 0.0)
        return headers

    def headers(self, answers: Headers, *, hop: bool) -> Headers:
        """What comes to those of the answer: the tokens of the refusal; for the sidecar of a `hop`, all decisions."""
        added = {}
        if self._refusal_usage is not None:
            added[HEADER_REFUSED] = header_of(self._own, self._refusal_usage, answers.get(HEADER_REFUSED))
        if hop:
            added[HEADER_DECISIONS] = decision_trail.header_of(self.decisions)
        return added

    def _seconds(self) -> float | None:
        return None if self._started is None else self._clock() - self._started

    def _decided(self, agent: str, decision: str, cost: float, seconds: float | None) -> Decision:
        record: Decision = {"agent": agent, "decision": decision, "cost": cost}
        if seconds is not None:
            record["milliseconds"] = milliseconds(seconds)
        if self._evidence is not None:
            record |= self._evidence
            self._evidence = None
        self.decisions.append(record)
        return record
