"""From the agent that answers to the client: bytes as they come, never parsed."""

from __future__ import annotations

from disrouter_sidecar.attempt import Answer, is_stream
from disrouter_sidecar.errors import UpstreamFailed
from disrouter_sidecar.ports import Client, Headers
from disrouter_sidecar.replies import error_event

_PASSED = ("content-type", "content-encoding", "retry-after")
"""Headers of an agent's reply that reach the client beside ours; framing is the connection's own."""


async def relay(answer: Answer, client: Client, headers: Headers, idle: float) -> UpstreamFailed | None:
    """Send the answer; from the first line on no other agent can be asked.

    `idle` bounds the gap between pieces of a stream, in seconds. A stream that breaks gets a last event that says so
    and is returned as the failure it was. Raises ClientGone; the agent's connection is closed at once then.
    """
    reply = answer.reply
    try:
        head = {**_head(answer), **headers}
        if answer.ended:
            await client.reply(reply.status, head, answer.held)
        else:
            await client.stream(reply.status, head, answer.held, reply, idle)
    except UpstreamFailed as failure:
        event = error_event("upstream_failed", f"the answer broke off: {failure.reason} ({failure.detail})")
        await client.end(event if client.last.endswith(b"\n\n") else b"\n\n" + event)
        return failure
    finally:
        reply.close()
    return None


def _head(answer: Answer) -> dict[str, str]:
    head = {name: value for name in _PASSED if (value := answer.reply.headers.get(name)) is not None}
    if answer.content_type is not None:
        head["content-type"] = answer.content_type
    if is_stream(answer.reply):
        head["cache-control"] = "no-cache"
        head["x-accel-buffering"] = "no"
    return head
