"""From the agent that answers to the client: bytes as they come, never parsed."""

from __future__ import annotations

from functools import lru_cache

from disrouter_sidecar.agents.attempt import EVENT_STREAM, is_event_stream
from disrouter_sidecar.agents.outcomes import Answered
from disrouter_sidecar.errors import UpstreamFailed
from disrouter_sidecar.headers import Lines, lines
from disrouter_sidecar.http.ports import Client
from disrouter_sidecar.openai.dialect import Dialect, data_event

_ENCODED = "the answer is compressed although nobody asked for that, and its stream has begun without"


def relay(answer: Answered, client: Client, response_headers: Lines, idle: float, dialect: Dialect) -> bool:
    """Send the answer: this commits the request. True where all of it is sent.

    `idle` bounds the gap between pieces of a stream, in seconds; the client's listener hears of its end. Raises
    ClientGone.
    """
    reply = answer.reply
    headers = reply.headers
    kind = answer.content_type or headers.get("content-type")
    encoding = None if answer.plain else headers.get("content-encoding")
    head, streamed = head_of(kind, encoding, headers.get("retry-after"))
    head += response_headers
    if client.commented and (encoding is not None or not streamed):
        client.put(200, head, _as_event(answer, dialect, encoded=encoding is not None))
        return True
    if answer.ended:
        client.put(reply.status, head, answer.held, streamed=streamed)
    else:
        client.begin(reply.status, head, answer.held, reply, idle)
    return answer.ended


def break_off(answer: Answered | None, client: Client, failure: UpstreamFailed, dialect: Dialect) -> None:
    """End events that broke, or comments alone, with an event that says so; any other body is left incomplete."""
    if answer is not None and answer.content_type not in (None, EVENT_STREAM):
        return
    text = f"the answer broke off: {failure.reason} ({failure.detail})"
    event = dialect.error_event(dialect.error_body(500, "upstream_failed", text))
    client.finish(event if client.last.endswith(b"\n\n") else b"\n\n" + event)


def _as_event(answer: Answered, dialect: Dialect, *, encoded: bool) -> bytes:
    """What follows comments where it is no stream of events."""
    if encoded:
        return dialect.error_event(dialect.error_body(502, "upstream_failed", _ENCODED))
    return dialect.error_event(answer.held) if answer.reply.status >= 400 else data_event(answer.held)


@lru_cache(maxsize=256)
def head_of(kind: str | None, encoding: str | None, retry_after: str | None) -> tuple[Lines, bool]:
    """The headers of an agent's reply that reach the client, without framing, and whether it is a stream."""
    passed = {"content-type": kind, "content-encoding": encoding, "retry-after": retry_after}
    streamed = kind is not None and is_event_stream(kind)
    if streamed:
        passed |= {"cache-control": "no-cache", "x-accel-buffering": "no"}
    return lines({name: value for name, value in passed.items() if value is not None}), streamed
