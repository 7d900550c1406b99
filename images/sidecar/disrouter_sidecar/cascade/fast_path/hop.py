"""The next agent's part of a plain chat: the engine has refused, and another sidecar runs the rest of the chain."""

from __future__ import annotations

from time import monotonic

from disrouter.names import (
    HEADER_AGENT,
    HEADER_DEADLINE,
    HEADER_HOPS,
    HEADER_PATH,
    HEADER_REFUSED,
    HEADER_REQUEST_ID,
)
from disrouter_sidecar.agents.outcomes import Refused
from disrouter_sidecar.cascade.chain_run import Dependencies
from disrouter_sidecar.cascade.decision_trail import tokens_at_end
from disrouter_sidecar.cascade.fast_path.plain_chat import PlainChat, Sent
from disrouter_sidecar.cascade.fast_path.plan import NextAgent, Plan
from disrouter_sidecar.cascade.head_start import Refusal
from disrouter_sidecar.cascade.run_record import RunRecord
from disrouter_sidecar.headers import Headers, Lines, lines
from disrouter_sidecar.http.client.pool import Pool
from disrouter_sidecar.http.ports import Reply
from disrouter_sidecar.openai.usage import itemised
from disrouter_sidecar.request.deadline import LEAST_SECONDS
from disrouter_sidecar.telemetry.logs import LogFields, milliseconds


def sent_to(agent: NextAgent, pool: Pool, chat: PlainChat, bearer: Headers, left: float) -> Sent | None:
    """As `Hops.ask` asks, `left` seconds before the deadline; None once it has come, or where no connection waits."""
    connection = pool.take(agent.origin) if left > LEAST_SECONDS else None
    if connection is None:
        return None
    bound = agent.first[chat.stream]
    body = chat.body()
    varying = f"{lines(bearer)}{HEADER_DEADLINE}: {int(left * 1000)}\r\n{HEADER_REQUEST_ID}: {chat.request_id}\r\n"
    head = f"{agent.start}{varying}content-length: {len(body)}\r\n\r\n".encode("latin-1")
    return Sent(pool, agent.origin, connection, head, body, monotonic(), min(bound, left), left <= bound)


class Hop:
    """Counts the refusal and what comes behind it, by the record of the general path."""

    __slots__ = ("_headers", "_own", "_plan", "next", "refusal")

    def __init__(
        self, plan: Plan, agent: NextAgent, refused: Refused, asked: float, dependencies: Dependencies
    ) -> None:
        """The engine was asked at `asked`; the next agent is asked now."""
        own = dependencies.own
        record = RunRecord(own, plan.scenario, dependencies.metrics, dependencies.clock)
        record.began(asked)
        record.refused(own, refused, plan.cost)
        record.began(None)
        dependencies.metrics.wanted(agent.agent)
        dependencies.metrics.elsewhere += 1
        self.next = agent
        self.refusal = Refusal(refused, record)
        self._own = own
        self._plan = plan
        self._headers: Headers = {}

    def answered(self, reply: Reply) -> Lines:
        """An agent behind the hop has answered: the headers that say so."""
        plan, record = self._plan, self.refusal.record
        headers = record.answered_behind(reply, plan.guide.table.agents)
        self._headers = {**headers, **record.headers(headers, hop=bool(plan.visited))}
        return lines(self._headers)

    def itemised(self, body: bytes) -> bytes:
        """At the entrypoint, a whole answer with the usage of refusals added."""
        if self._plan.visited:
            return body
        return itemised(body, self._headers.get(HEADER_PATH, ""), self._headers[HEADER_REFUSED])

    def facts(self, request_id: str, outcome: str, seconds: float, end: bytes, *, stream: bool) -> LogFields:
        """What `InboundRequest` logs of such an answer, whose last bytes these are."""
        plan, headers, decisions = self._plan, self._headers, self.refusal.record.decisions
        decisions[-1] |= tokens_at_end(end)
        return {
            **{"request_id": request_id, "agent": self._own, "outcome": outcome},
            **{"milliseconds": milliseconds(seconds), "model": plan.guide.table.cascade, "stream": stream},
            **{"scenario": plan.scenario, "pinned": False, "decisions": decisions, "path": headers.get(HEADER_PATH)},
            **{"answered_by": headers.get(HEADER_AGENT), "hops": headers.get(HEADER_HOPS), "status": 200},
        }
