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
        await client.start(reply.status, {**_head(answer), **headers})
        failure = await _body(answer, client, idle)
        await client.end()
        return failure
    finally:
        reply.close()


def _head(answer: Answer) -> Headers:
    head = {name: value for name in _PASSED if (value := answer.reply.headers.get(name)) is not None}
    if answer.ended and not is_stream(answer.reply):
        head["content-length"] = str(len(answer.held))
    if is_stream(answer.reply):
        head["cache-control"] = "no-cache"
        head["x-accel-buffering"] = "no"
    return head


async def _body(answer: Answer, client: Client, idle: float) -> UpstreamFailed | None:
    piece, tail = answer.held, b""
    while piece:
        await client.write(piece)
        tail = piece[-2:] if len(piece) > 1 else (tail + piece)[-2:]
        if answer.ended:
            break
        try:
            piece = await answer.reply.chunk(idle)
        except UpstreamFailed as failure:
            whole = tail == b"\n\n"
            event = error_event("upstream_failed", f"the answer broke off: {failure.reason} ({failure.detail})")
            await client.write(event if whole else b"\n\n" + event)
            return failure
    return None
