"""From the agent that answers to the client: bytes as they come, never parsed."""

from __future__ import annotations

from functools import lru_cache

from disrouter_sidecar.agents.attempt import EVENT_STREAM, is_stream
from disrouter_sidecar.agents.outcomes import Answer
from disrouter_sidecar.errors import UpstreamFailed
from disrouter_sidecar.headers import Lines, lines
from disrouter_sidecar.http.ports import Client
from disrouter_sidecar.openai.dialect import Dialect


def relay(answer: Answer, client: Client, response_headers: Lines, idle: float) -> bool:
    """Send the answer: this commits the request. True where all of it is sent.

    `idle` bounds the gap between pieces of a stream, in seconds; the client's listener hears of its end. Raises
    ClientGone.
    """
    reply = answer.reply
    headers = reply.headers
    kind = answer.content_type or headers.get("content-type")
    streamed = is_stream(reply) or kind == EVENT_STREAM
    encoding = None if answer.plain else headers.get("content-encoding")
    head = _head(kind, encoding, headers.get("retry-after"), streamed) + response_headers
    if answer.ended:
        client.put(reply.status, head, answer.held, streamed=streamed)
    else:
        client.begin(reply.status, head, answer.held, reply, idle)
    return answer.ended


def break_off(answer: Answer, client: Client, failure: UpstreamFailed, dialect: Dialect) -> None:
    """End a stream of events that broke with one that says so; any other body is left incomplete."""
    if answer.content_type not in (None, EVENT_STREAM):
        return
    text = f"the answer broke off: {failure.reason} ({failure.detail})"
    event = dialect.error_event("upstream_failed", text)
    client.finish(event if client.last.endswith(b"\n\n") else b"\n\n" + event)


@lru_cache(maxsize=256)
def _head(kind: str | None, encoding: str | None, retry_after: str | None, streamed: bool) -> Lines:
    """The headers of an agent's reply that reach the client; framing is the connection's own."""
    passed = {"content-type": kind, "content-encoding": encoding, "retry-after": retry_after}
    if streamed:
        passed |= {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return lines({name: value for name, value in passed.items() if value is not None})
