"""One request from the client's side: understood, walked, relayed; counted and logged once, whatever happens."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from disrouter.errors import InvalidRequest
from disrouter.names import HEADER_AGENT, HEADER_HOPS, HEADER_PATH, HEADER_REFUSED, HEADER_REQUEST_ID
from disrouter_sidecar.agents.outcomes import Answer
from disrouter_sidecar.cascade.relay import break_off, relay
from disrouter_sidecar.cascade.walk import Means, Walk
from disrouter_sidecar.config import Config
from disrouter_sidecar.errors import ClientGone, Rejected, UpstreamFailed
from disrouter_sidecar.headers import Headers, lines
from disrouter_sidecar.http.memory_limits import Memory
from disrouter_sidecar.http.ports import Client
from disrouter_sidecar.openai.dialect import Dialect
from disrouter_sidecar.openai.errors import JSON, rejection
from disrouter_sidecar.openai.usage import itemised
from disrouter_sidecar.request.context import Asked
from disrouter_sidecar.request.deadline import Budget
from disrouter_sidecar.request.itinerary import Ours
from disrouter_sidecar.telemetry.logs import Tell
from disrouter_sidecar.telemetry.metrics import Metrics
from disrouter_sidecar.telemetry.tracing import Tracing

Facts = dict[str, object]
"""What the log and the span tell of a request: names and numbers, never words or keys."""
_log = logging.getLogger(__name__)


class Call(NamedTuple):
    """One request as it came in."""

    dialect: Dialect
    raw: bytes
    headers: Mapping[str, str]
    request_id: str


class Host(Protocol):
    """The sidecar that a request came to."""

    config: Config
    replies: Memory
    tracing: Tracing
    metrics: Metrics
    means: Means

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds that only grow."""
        ...

    @property
    def tell(self) -> Tell:
        """Writes one line per request."""
        ...

    def understand(self, call: Call) -> Asked:
        """What every step of its way reads. Raises Rejected or InvalidRequest."""
        ...


class Visit:
    """The `Caller` of its client and the `End` of its walk: each of their calls may be the last."""

    __slots__ = (
        "_answer", "_asked", "_began", "_call", "_client", "_ours", "_over", "_param", "_service", "_share", "_span",
        "_told", "_walk",
    )  # fmt: skip

    def __init__(self, service: Host, call: Call, client: Client) -> None:
        self._service = service
        self._call = call
        self._client = client
        self._began = service.clock()
        self._over = False
        self._share = service.replies.share()
        self._span = service.tracing.serve(call.dialect.name, service.config.cascade, call.headers)
        self._asked: Asked | None = None
        self._told: Facts | None = None
        """What the log tells of the question, once it is understood."""
        self._param: str | None = None
        self._walk: Walk | None = None
        self._ours: Headers | None = None
        self._answer: Answer | None = None
        service.metrics.inflight += 1
        client.caller = self

    def begin(self) -> None:
        """Understand the request and ask the first agent."""
        service = self._service
        try:
            self._asked = asked = service.understand(self._call)
            query, table = asked.query, asked.table
            budget = Budget(table.timeouts, service.clock, self._share, stream=query.stream, asked=asked.deadline)
            self._walk = walk = Walk(asked, service.means, budget, self._span, self)
            service.metrics.overhead(service.clock() - self._began)
            walk.start()
        except Exception as error:
            self.failed(error)

    def answered(self, answer: Answer, ours: Ours) -> None:
        """`End`: an agent has answered."""
        asked = self._asked
        if asked is None or self._over:
            return
        self._ours = ours.headers
        self._answer = answer = answer if asked.visited else _itemised(answer, ours.headers)
        try:
            head = f"{ours.lines}{HEADER_REQUEST_ID}: {self._call.request_id}\r\n"
            if relay(answer, self._client, head, asked.table.timeouts.idle):
                self._end("answer")
            else:
                self._forget(asked)
        except Exception as error:
            self.failed(error)

    def _forget(self, asked: Asked) -> None:
        """What nobody needs while a stream takes its time: the request's headers and body, read and parsed."""
        self._told = _facts_of(asked)
        self._asked, self._call = None, self._call._replace(raw=b"", headers={})
        self._share.close()
        self._client.release()
        if self._walk is not None:
            self._walk.forget()
        if self._answer is not None:
            self._answer.reply.forget()
            self._answer = self._answer._replace(held=b"")

    def relayed(self, failure: Exception | None) -> None:
        """`Caller`: the answer has ended."""
        if failure is None:
            self._end("answer")
        elif isinstance(failure, UpstreamFailed):
            break_off(self._client, failure)
            self._end(f"broken_{failure.reason}")
        else:
            self.failed(failure)

    def failed(self, error: Exception) -> None:
        """`End`: nobody answers, or something went wrong here; the client is told where that is still possible."""
        if self._over:
            return
        if isinstance(error, ClientGone):
            self._end("client_gone")
            return
        outcome = "invalid_request"
        if isinstance(error, InvalidRequest):
            self._param = error.param
        elif isinstance(error, Rejected):
            outcome = error.code
        else:
            _log.error("unexpected error", exc_info=error, extra={"request_id": self._call.request_id})
            outcome = "internal_error"
            error = Rejected(500, outcome, "the sidecar failed on this request; its log says why")
        if not self._client.started:
            status, headers, body = rejection(error)
            self._client.put(status, lines({**headers, HEADER_REQUEST_ID: self._call.request_id}), body)
        self._end(outcome)

    def left(self) -> None:
        """`Caller`: the client has gone, so everything that is done for it ends."""
        if self._over:
            return
        if self._walk is not None:
            self._walk.cancel()
        self._end("client_gone")

    def _end(self, outcome: str) -> None:
        service, answer, call = self._service, self._answer, self._call
        self._over = True
        if answer is not None:
            answer.reply.close()
        self._client.keep(self._share)
        service.metrics.inflight -= 1
        service.metrics.ended(outcome)
        facts = self._facts(outcome)
        self._walk = None  # which holds this visit: no cycle is left for the collector
        if self._span.seen:
            self._span.sum_up(call.dialect.name, facts)
            self._span.end()
        service.tell(call.dialect.name, facts)
        self._client.done()

    def _facts(self, outcome: str) -> Facts:
        """The log's line: what was asked, where it went, and what the answering hop says of itself."""
        facts: Facts = {
            "request_id": self._call.request_id,
            "agent": self._service.config.agent,
            "outcome": outcome,
            "milliseconds": round((self._service.clock() - self._began) * 1000, 2),
        }
        if self._asked is not None:
            facts |= _facts_of(self._asked)
        elif self._told is not None:
            facts |= self._told
        if self._param is not None:
            facts["param"] = self._param
        walk, ours, answer = self._walk, self._ours, self._answer
        if walk is not None:
            facts["path"] = ours.get(HEADER_PATH) if ours is not None else ",".join(walk.trail)
            if walk.skipped:
                facts["skipped"] = {agent: failure.reason for agent, failure in walk.skipped.items()}
        if ours is not None and answer is not None:
            facts["answered_by"], facts["hops"] = ours.get(HEADER_AGENT), ours.get(HEADER_HOPS)
            facts["status"] = answer.reply.status
        return facts


def _facts_of(asked: Asked) -> Facts:
    query = asked.query
    return {
        "model": query.model,
        "stream": query.stream,
        "scenario": asked.scenario,
        "pinned": asked.itinerary.pinned,
    }


def _itemised(answer: Answer, ours: Headers) -> Answer:
    """At the entry, a whole answer with what those before it have used; a stream's bytes stay as they are."""
    refused, headers = ours.get(HEADER_REFUSED), answer.reply.headers
    if refused is None or not answer.ended or answer.reply.status != 200 or "content-encoding" in headers:
        return answer
    if not headers.get("content-type", "").startswith(JSON):
        return answer
    return answer._replace(held=itemised(answer.held, ours.get(HEADER_PATH, ""), refused))
