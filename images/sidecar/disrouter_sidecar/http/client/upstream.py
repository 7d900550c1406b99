"""`ports.Upstream`: sends on a pooled connection, once more on a new one where the pooled one had been closed."""

from __future__ import annotations

import asyncio
import ssl
from typing import Self, cast

from disrouter_sidecar.errors import Reason, UpstreamFailed
from disrouter_sidecar.headers import Headers, Lines, lines
from disrouter_sidecar.http.client.origin import Target, target_of
from disrouter_sidecar.http.client.pool import Pool
from disrouter_sidecar.http.client.reply import OutboundReply
from disrouter_sidecar.http.client.request import OutboundRequest, ReplyFuture
from disrouter_sidecar.http.ports import ReplyListener


class HttpUpstream:
    """No cookies, no redirects, no proxies from the environment; content encodings are neither asked for nor undone."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.pool = Pool(tls)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.pool.close()

    def send(
        self, url: str, head: Lines, body: bytes, listener: ReplyListener, *, connect: float, first: float
    ) -> OutboundRequest:
        """POST; the listener gets the reply's head. Raises UpstreamFailed."""
        target = _target(url)
        start = f"{target.post}{head}content-length: {len(body)}\r\n\r\n".encode("latin-1")
        return OutboundRequest(self.pool, target.origin, start, body, listener, connect, first)

    async def ask(self, url: str, body: bytes, headers: Headers, *, connect: float, head: float) -> OutboundReply:
        """POST and wait for the reply's head. Raises UpstreamFailed."""
        future = ReplyFuture()
        return await _head_of(future, self.send(url, lines(headers), body, future, connect=connect, first=head))

    async def healthy(self, url: str, seconds: float, head: Lines = "") -> bool:
        """Whether GET says 200 within `seconds`."""
        future = ReplyFuture()
        try:
            target = _target(url)
            start = f"{target.get}{head}\r\n".encode("latin-1")
            request = OutboundRequest(self.pool, target.origin, start, b"", future, seconds, seconds)
            reply = await _head_of(future, request)
        except UpstreamFailed:
            return False
        reply.close(ending=True)
        return reply.status == 200


async def _head_of(future: ReplyFuture, request: OutboundRequest) -> OutboundReply:
    try:
        return cast(OutboundReply, await future.future)
    except asyncio.CancelledError:
        request.cancel()
        raise


def _target(url: str) -> Target:
    try:
        return target_of(url)
    except ValueError as error:
        raise UpstreamFailed(Reason.CONNECT, str(error)) from None
