"""One request from the client's side: parsed, run along its chain, relayed; counted and logged once in any case."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple, Protocol

from disrouter.errors import InvalidRequest
from disrouter.names import HEADER_AGENT, HEADER_HOPS, HEADER_PATH, HEADER_REFUSED, HEADER_REQUEST_ID
from disrouter_sidecar.agents.attempt import EVENT_STREAM
from disrouter_sidecar.agents.outcomes import Answered
from disrouter_sidecar.cascade.chain_run import ChainRun, Dependencies
from disrouter_sidecar.cascade.decision_trail import tokens_at_end
from disrouter_sidecar.cascade.head_start import HeadStart
from disrouter_sidecar.cascade.relay import break_off, relay
from disrouter_sidecar.cascade.tool_loops import ToolLoops
from disrouter_sidecar.config import Config
from disrouter_sidecar.errors import ClientGone, Rejected, UpstreamFailed
from disrouter_sidecar.headers import Headers, lines
from disrouter_sidecar.http.memory_limits import MemoryLimit
from disrouter_sidecar.http.ports import Client
from disrouter_sidecar.openai.dialect import Dialect
from disrouter_sidecar.openai.errors import JSON, rejection
from disrouter_sidecar.openai.query import Query
from disrouter_sidecar.openai.usage import itemised
from disrouter_sidecar.request.context import RequestContext
from disrouter_sidecar.request.deadline import Budget
from disrouter_sidecar.request.itinerary import ResponseHeaders
from disrouter_sidecar.telemetry.decisions import DecisionMemory
from disrouter_sidecar.telemetry.logs import LogFields, RequestLog, milliseconds
from disrouter_sidecar.telemetry.metrics import Metrics
from disrouter_sidecar.telemetry.tracing import Tracing

_COMMENTED = lines({"content-type": EVENT_STREAM, "cache-control": "no-cache", "x-accel-buffering": "no"})
"""The head of a stream that begins with comments: who answers is not known yet."""
_log = logging.getLogger(__name__)


class Call(NamedTuple):
    """One request as it came in."""

    dialect: Dialect
    raw: bytes
    headers: Mapping[str, str]
    request_id: str


class Sidecar(Protocol):
    """What a request needs of the sidecar that it came to."""

    config: Config
    reply_memory: MemoryLimit
    metrics: Metrics
    dependencies: Dependencies
    tool_loops: ToolLoops
    decisions: DecisionMemory

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds that only grow."""
        ...

    @property
    def tracing(self) -> Tracing:
        """Makes the spans of requests."""
        ...

    @property
    def request_log(self) -> RequestLog:
        """Writes one line per request."""
        ...

    def kept_decisions(self) -> int:
        """How many requests are remembered."""
        ...

    def context_of(self, call: Call) -> RequestContext:
        """Parse and check a request. Raises Rejected or InvalidRequest."""
        ...


class InboundRequest:
    """Life of one request: the `ClientListener` of its client and the `ChainListener` of its run."""

    __slots__ = (
        "_answer", "_began", "_call", "_claim", "_client", "_context", "_context_facts", "_over", "_param",
        "_response_headers", "_run", "_service", "_span",
    )  # fmt: skip

    def __init__(self, service: Sidecar, call: Call, client: Client) -> None:
        self._service = service
        self._call = call
        self._client = client
        self._began = service.clock()
        self._over = False
        self._claim = service.reply_memory.claim()
        self._span = service.tracing.serve(call.dialect.name, service.config.cascade, call.headers)
        self._context: RequestContext | None = None
        self._context_facts: LogFields | None = None
        """The log's fields from `_context`, kept when that is freed."""
        self._param: str | None = None
        self._run: ChainRun | None = None
        self._response_headers: Headers | None = None
        self._answer: Answered | None = None
        service.metrics.inflight += 1
        client.listener = self

    def start(self, head_start: HeadStart | None = None) -> None:
        """Parse the request and ask the first agent; or go on with one that was asked."""
        service = self._service
        if head_start is not None:
            self._began = head_start.began
        began = self._began
        try:
            self._context = context = service.context_of(self._call) if head_start is None else head_start.context
            query, table = context.query, context.table
            budget = Budget(
                table.timeouts, service.clock, self._claim, stream=query.stream, limit=context.deadline, since=began
            )
            self._run = run = ChainRun(context, service.dependencies, budget, self._span, self)
            if head_start is None:
                service.metrics.received.value += 1
            now = service.clock()
            service.metrics.overhead((now if head_start is None else head_start.asked) - began)
            if query.stream and table.timeouts.keep_alive and query.dialect.comments and not context.visited:
                head = f"{_COMMENTED}{HEADER_REQUEST_ID}: {self._call.request_id}\r\n"
                self._client.keep_alive(head, table.timeouts.keep_alive, now - began)
            run.start(head_start)
        except Exception as error:
            self.failed(error)

    def answered(self, answer: Answered, response_headers: ResponseHeaders) -> None:
        """`ChainListener`: an agent has answered."""
        context = self._context
        if context is None or self._over:
            return
        self._response_headers = response_headers.headers
        if HEADER_REFUSED in response_headers.headers and not context.visited:
            answer = _itemised(answer, response_headers.headers)
        self._answer = answer
        try:
            head = f"{response_headers.lines}{HEADER_REQUEST_ID}: {self._call.request_id}\r\n"
            if context.query.tools:
                self._remember_loop(context.query, response_headers.headers)
            if relay(answer, self._client, head, context.table.timeouts.idle, context.query.dialect):
                self._finish("answer" if HEADER_AGENT in response_headers.headers else "no_agent_available")
            else:
                self._forget(context)
        except Exception as error:
            self.failed(error)

    def _remember_loop(self, query: Query, response_headers: Headers) -> None:
        """The agent that answers a conversation with tools may call one: what follows is its own."""
        agent = response_headers.get(HEADER_AGENT)
        if agent is not None:
            self._service.tool_loops.remember(query.dialect.turns(query.fields), agent)

    def _forget(self, context: RequestContext) -> None:
        """A stream may last for minutes: free what it does not need, the request's headers and body, raw and parsed."""
        self._context_facts = _facts_of(context)
        self._context, self._call = None, self._call._replace(raw=b"", headers={})
        self._claim.close()
        self._client.release()
        if self._run is not None:
            self._run.forget()
        if self._answer is not None:
            self._answer.reply.forget()
            self._answer = self._answer._replace(held=b"")

    def relayed(self, failure: Exception | None) -> None:
        """`ClientListener`: the answer has ended."""
        run = self._run
        if failure is None:
            if run is not None:
                run.stream_ended(None)
            self._finish("answer")
        elif isinstance(failure, UpstreamFailed):
            if run is not None:
                run.stream_ended(failure)
                run.cancel()  # where only comments have been sent, it is still under way
            break_off(self._answer, self._client, failure, self._call.dialect)
            self._finish(f"broken_{failure.reason}")
        else:
            self.failed(failure)

    def failed(self, error: Exception) -> None:
        """`ChainListener`: no agent answers, or a bug; the client gets an error if nothing was sent yet."""
        if self._over:
            return
        if isinstance(error, ClientGone):
            self._finish("client_gone")
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
            status, headers, body = rejection(error, self._call.dialect.error_body)
            if self._client.commented:
                body = self._call.dialect.error_event(body)
            with suppress(ClientGone):
                self._client.put(status, lines({**headers, HEADER_REQUEST_ID: self._call.request_id}), body)
        self._finish(outcome)

    def left(self) -> None:
        """`ClientListener`: the client has left, so its run is cancelled."""
        if self._over:
            return
        if self._run is not None:
            self._run.cancel()
        self._finish("client_gone")

    def _finish(self, outcome: str) -> None:
        service, answer, call = self._service, self._answer, self._call
        self._over = True
        if answer is not None:
            answer.reply.close()
        self._client.hold(self._claim)
        if self._run is not None:
            self._run.over()
        service.metrics.inflight -= 1
        service.metrics.ended(outcome)
        facts = self._facts(outcome)
        self._run = None  # it refers to this request: leave no cycle for the collector
        if self._span.seen:
            self._span.summarize(call.dialect.name, facts)
            self._span.end()
        line = service.request_log.log(call.dialect.name, facts)
        service.decisions.remember(call.request_id, line, service.kept_decisions())
        self._client.done()

    def _facts(self, outcome: str) -> LogFields:
        """The log's fields: what was requested, the path, and who answered."""
        context = self._context
        facts: LogFields = {
            "request_id": self._call.request_id,
            "agent": self._service.config.agent,
            "outcome": outcome,
            "milliseconds": milliseconds(self._service.clock() - self._began),
            **(self._context_facts or {} if context is None else _facts_of(context)),
        }
        if self._param is not None:
            facts["param"] = self._param
        run, response_headers, answer = self._run, self._response_headers, self._answer
        if run is not None:
            facts["decisions"] = run.record.decisions
            facts["path"] = response_headers.get(HEADER_PATH) if response_headers is not None else ",".join(run.path)
            if run.record.failed_agents:
                facts["failed"] = {agent: failure.reason for agent, failure in run.record.failed_agents.items()}
        if response_headers is not None and answer is not None:
            facts["answered_by"], facts["hops"] = response_headers.get(HEADER_AGENT), response_headers.get(HEADER_HOPS)
            facts["status"] = answer.reply.status
            if run is not None and run.record.decisions:
                run.record.decisions[-1] |= tokens_at_end(self._client.last or answer.held)
        return facts


def _facts_of(context: RequestContext) -> LogFields:
    query = context.query
    return {
        "model": query.model,
        "stream": query.stream,
        "scenario": context.scenario,
        "pinned": context.itinerary.pinned,
    }


def _itemised(answer: Answered, response_headers: Headers) -> Answered:
    """At the entrypoint, a whole answer with the usage of refusals added; a stream's bytes stay as they are."""
    headers = answer.reply.headers
    if not answer.ended or answer.reply.status != 200 or "content-encoding" in headers:
        return answer
    if not headers.get("content-type", "").startswith(JSON):
        return answer
    return answer._replace(
        held=itemised(answer.held, response_headers.get(HEADER_PATH, ""), response_headers[HEADER_REFUSED])
    )
