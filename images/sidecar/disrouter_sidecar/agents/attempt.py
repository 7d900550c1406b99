"""One attempt at one agent: an answer to relay, or a reason to go on to the next.

The own engine is asked in the client's own mode. A stream is held back until it decides, a whole reply is read and
inspected. Nothing reaches the client here, so everything that goes wrong can still be mended by another agent. All of
it runs by callback from the agent's socket: no task is needed to wait.
"""

from __future__ import annotations

from typing import Protocol

from disrouter.errors import InvalidRequest
from disrouter.names import HEADER_PATH
from disrouter.refusal import Decision
from disrouter_sidecar.agents.decision import StreamDecider, decide_whole, usage_of_whole
from disrouter_sidecar.agents.failures import failure_of, reason_of, reason_of_event
from disrouter_sidecar.agents.outcomes import Answer, ChainEnded, Outcome, Refused
from disrouter_sidecar.errors import Reason, Rejected, UpstreamFailed
from disrouter_sidecar.headers import Headers, Lines
from disrouter_sidecar.http.ports import Asking, Reply, Upstream
from disrouter_sidecar.openai.errors import JSON
from disrouter_sidecar.openai.provider_errors import error_in_shape
from disrouter_sidecar.openai.query import Query
from disrouter_sidecar.request.context import Asked
from disrouter_sidecar.request.deadline import Budget
from disrouter_sidecar.request.itinerary import LOOP, parse_path

MAX_REPLY_BYTES = 16 * 1024 * 1024
"""Largest whole reply that is read into memory."""
_TOO_LARGE = (
    f"the answer is larger than {MAX_REPLY_BYTES} bytes; ask for fewer choices, tokens or logprobs, or for a stream"
)
"""Another agent's would be as large: nobody is to blame, and nobody else is asked."""


class Errand(Outcome, Protocol):
    """What agents are asked for, and who is told."""

    @property
    def asked(self) -> Asked: ...

    @property
    def budget(self) -> Budget: ...

    def trace(self) -> Headers:
        """The trace context for the agent that is asked now."""
        ...


class Attempt:
    """Hears an agent (`ports.Hearer`) and takes its reply (`ports.Sink`) until it is worth something.

    As it is, it takes the reply whole, and whatever has no reason to skip the agent is the answer.
    """

    __slots__ = ("_asking", "_held", "_over", "_reply", "_size", "_tell", "_whole", "budget")

    def __init__(self, tell: Outcome, budget: Budget) -> None:
        self.budget = budget
        self._tell = tell
        self._asking: Asking | None = None
        self._reply: Reply | None = None
        self._whole = True
        """Nothing of the reply can be judged before its end."""
        self._held: list[bytes] = []
        self._size = 0
        self._over = False

    def ask(self, upstream: Upstream, url: str, head: Lines, body: bytes, agents: int = 1) -> None:
        """Send the question; `agents` may have to be asked in turn. Raises UpstreamFailed."""
        connect, first = self.budget.waits(agents)
        self._asking = upstream.send(url, head, body, self, connect=connect, first=first)

    def cancel(self) -> None:
        """The client has left: nothing is told any more."""
        self._over = True
        if self._asking is not None:
            self._asking.cancel()
        if self._reply is not None:
            self._reply.close()
        self._let_go()

    def replied(self, reply: Reply) -> None:
        """`ports.Hearer`."""
        self._asking, self._reply = None, reply
        try:
            reply.pipe(self, self._begin(reply))
        except Exception as error:
            self.failed(error)

    def feed(self, piece: bytes, end: bool) -> None:
        """`ports.Sink`."""
        reply = self._reply
        if self._over or reply is None:
            return
        try:
            answer = self._take(reply, piece, end)
            if answer is None:
                reply.patience(self.budget.idle())
                return
        except Exception as error:
            self.failed(error)
            return
        self._over = True
        tell = self._tell
        self._let_go()
        tell.answered(answer)

    def broke(self, failure: Exception) -> None:
        """`ports.Sink`."""
        self.failed(failure)

    def failed(self, failure: Exception) -> None:
        """`ports.Hearer`; also what else ends the attempt. A refusal is about to end by itself."""
        if self._over:
            return
        self._over = True
        if self._reply is not None:
            self._reply.close(ending=isinstance(failure, Refused))
        tell = self._tell
        self._let_go()
        tell.failed(failure)

    def _let_go(self) -> None:
        """Of all that holds this attempt, so that no cycle is left for the collector."""
        self._asking = self._reply = None
        del self._tell

    def _begin(self, reply: Reply) -> float:  # noqa: ARG002  the others look at it
        """Look at the head; the seconds to wait for the next bytes. May raise what `failed` is told."""
        return self.budget.idle()

    def _take(self, reply: Reply, piece: bytes, end: bool) -> Answer | None:
        """The next bytes, and what the reply is worth once that is known. May raise what `failed` is told."""
        self.budget.take(len(piece))
        self._size += len(piece)
        if self._size > MAX_REPLY_BYTES:
            raise Rejected(400, "reply_too_large", _TOO_LARGE)
        if not end:
            self._held.append(piece)
            return None
        return self._judge(reply, piece if not self._held else b"".join((*self._held, piece)))

    def _judge(self, reply: Reply, body: bytes) -> Answer:
        """What a whole reply is worth. May raise what `failed` is told."""
        reason = reason_of(reply.status, body)
        if reason is not None:
            raise failure_of(reply, reason)
        return Answer(reply, body, ended=True)


class EngineAttempt(Attempt):
    """At the own engine: free to refuse where it `decides`; the `last` agent's word on a long question is final."""

    __slots__ = ("_decider", "_decides", "_last", "_query")

    def __init__(self, tell: Outcome, budget: Budget, query: Query, *, decides: bool, last: bool) -> None:
        super().__init__(tell, budget)
        self._query = query
        self._decides = decides
        self._last = last
        self._decider: StreamDecider | None = None

    def _begin(self, reply: Reply) -> float:
        if not (200 <= reply.status < 300 and is_stream(reply)):
            return self.budget.idle()
        self._whole = False
        if self._decides and "content-encoding" not in reply.headers:
            self._decider = StreamDecider(self._query.dialect, self._query.choices)
        return self.budget.first()

    def _take(self, reply: Reply, piece: bytes, end: bool) -> Answer | None:
        if self._whole:
            return super()._take(reply, piece, end)
        if self._decider is None:
            return Answer(reply, piece, end)
        self.budget.take(len(piece))
        return self._decide(self._decider, reply, piece, end)

    def _decide(self, decider: StreamDecider, reply: Reply, piece: bytes, end: bool) -> Answer | None:
        decision = decider.feed(piece)
        if end and decision is Decision.UNDECIDED and decider.error is None:
            decision = decider.finish()
        if decider.error is not None:
            reason = reason_of_event(decider.error)
            if reason is not None:
                raise UpstreamFailed(reason, "its stream began with an error")
            decision = Decision.ANSWER
        if decision is Decision.REFUSE:
            raise Refused(usage=decider.usage)
        held = self._held
        if decision is Decision.ANSWER:
            return Answer(reply, piece if not held else b"".join((*held, piece)), end)
        held.append(piece)
        return None

    def _judge(self, reply: Reply, body: bytes) -> Answer:
        if 200 <= reply.status < 300:
            if self._decides and decide_whole(self._query.dialect, body) is Decision.REFUSE:
                raise Refused(usage=usage_of_whole(body))
            return Answer(reply, body, ended=True)
        reason = reason_of(reply.status, body)
        if reason is not None and not (self._last and reason is Reason.CONTEXT_LENGTH):
            raise failure_of(reply, reason)
        return Answer(reply, error_in_shape(reply.status, body), ended=True, content_type=JSON)


class AgentAttempt(Attempt):
    """At another agent's sidecar: its answer, or UpstreamFailed when it could not even try.

    A failure that carries a path comes from the end of the chain, where everybody was tried: ChainEnded. A loop (508)
    is relayed, or a wrong address in the table would never be seen.
    """

    __slots__ = ("_agents", "_reason")

    def __init__(self, tell: Outcome, budget: Budget, agents: int) -> None:
        super().__init__(tell, budget)
        self._agents = agents
        self._reason: Reason | None = None

    def _begin(self, reply: Reply) -> float:
        self._reason = reason = reason_of(reply.status, b"")
        if reason is not None and HEADER_PATH not in reply.headers:
            raise failure_of(reply, reason)
        self._whole = not is_stream(reply)
        return self.budget.idle() if self._whole else self.budget.first(self._agents)

    def _take(self, reply: Reply, piece: bytes, end: bool) -> Answer | None:
        return super()._take(reply, piece, end) if self._whole else Answer(reply, piece, end)

    def _judge(self, reply: Reply, body: bytes) -> Answer:
        told = Answer(reply, body, ended=True)
        if self._reason is not None and reply.status != LOOP:
            raise ChainEnded(_path_of(reply), told)
        return told


def _path_of(reply: Reply) -> tuple[str, ...]:
    try:
        return parse_path(reply.headers[HEADER_PATH])
    except InvalidRequest:
        return ()


def is_stream(reply: Reply) -> bool:
    """Whether the body is a stream of events."""
    return reply.headers.get("content-type", "").startswith("text/event-stream")
