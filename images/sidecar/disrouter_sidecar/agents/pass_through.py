"""Requests that are passed to the agent that they name: what it replies is relayed from its first byte on, unread."""

from __future__ import annotations

from disrouter.names import HEADER_REQUEST_ID
from disrouter_sidecar.agents.attempt import AgentAttempt, AttemptContext, is_stream
from disrouter_sidecar.agents.engine import Engine
from disrouter_sidecar.agents.engine_attempt import EngineAttempt, judging_of
from disrouter_sidecar.agents.outcomes import Answered, Outcome
from disrouter_sidecar.config import Config
from disrouter_sidecar.headers import lines
from disrouter_sidecar.http.ports import Reply
from disrouter_sidecar.openai import PASS_THROUGH
from disrouter_sidecar.openai.errors import JSON
from disrouter_sidecar.openai.pass_through.request import body_for
from disrouter_sidecar.request.context import RequestContext

_UNJUDGED = judging_of(1, refuses=False, last=True)


class PassThroughEngine(Engine):
    """The local engine, asked by its pass-through APIs."""

    def use(self, config: Config) -> None:
        """Ask the engine that this configuration names."""
        super().use(config)
        self._bearer = config.engine_bearer
        self._urls = {
            api.path: (config.engine_root if api.at_root else config.engine_base) + api.path for api in PASS_THROUGH
        }

    def answer(self, parent: AttemptContext, *, last: bool) -> PassThroughAttempt:  # noqa: ARG002  it always is
        """Ask it what the client asked. Raises UpstreamFailed and InvalidRequest."""
        context = parent.context
        query, kind = context.query, context.headers.get("content-type", JSON)
        body = body_for(query, kind, self.served(context).model)
        head = {"content-type": kind, HEADER_REQUEST_ID: context.request_id, **parent.trace(), **self._bearer}
        attempt = PassThroughAttempt(parent, parent.budget, context, _UNJUDGED, self)
        attempt.ask(self._upstream, self._urls[query.dialect.path], lines(head), body)
        return attempt

    def rejected(self, context: RequestContext, body: bytes) -> None:
        """`EngineObserver`: what such an API cannot do says nothing of chats."""


class PassThroughAttempt(EngineAttempt):
    """At the local engine: only an error is read to its end."""

    __slots__ = ()

    def _read(self, reply: Reply, piece: bytes, end: bool) -> Outcome | None:
        return _relayed(reply, piece, end) if _succeeded(reply) else super()._read(reply, piece, end)


class PassThroughHop(AgentAttempt):
    """At another agent's sidecar: only an error is read to its end."""

    __slots__ = ()

    def _read(self, reply: Reply, piece: bytes, end: bool) -> Outcome | None:
        return _relayed(reply, piece, end) if _succeeded(reply) else super()._read(reply, piece, end)


def _succeeded(reply: Reply) -> bool:
    return 200 <= reply.status < 300


def _relayed(reply: Reply, piece: bytes, end: bool) -> Answered:
    """From its first byte on; `Answered.content_type` says where it is no stream of events."""
    kind = None if is_stream(reply) else reply.headers.get("content-type", "")
    return Answered(reply, piece, end, content_type=kind)
