"""`ports.Upstream`: asks on a pooled connection, once more on a new one where the pooled one had been closed."""

from __future__ import annotations

import asyncio
import ssl
from typing import Self

from disrouter_sidecar.errors import Reason, UpstreamFailed
from disrouter_sidecar.http.encode import request_head
from disrouter_sidecar.http.origin import Target, target_of
from disrouter_sidecar.http.outbound import Stale
from disrouter_sidecar.http.pool import Pool
from disrouter_sidecar.http.reply import OutboundReply
from disrouter_sidecar.ports import Headers


class HttpUpstream:
    """No cookies, no redirects, no proxies from the environment; content encodings are neither asked for nor undone."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.pool = Pool(tls)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.pool.close()

    async def ask(self, url: str, body: bytes, headers: Headers, *, connect: float, head: float) -> OutboundReply:
        """POST and wait for the reply's head. Raises UpstreamFailed."""
        target = _target(url)
        return await self._send(target, request_head(target.post, headers, len(body)), body, connect, head)

    async def healthy(self, url: str, seconds: float) -> bool:
        """Whether GET says 200 within `seconds`."""
        try:
            target = _target(url)
            reply = await self._send(target, f"{target.get}\r\n".encode(), b"", seconds, seconds)
        except UpstreamFailed:
            return False
        reply.close(ending=True)
        return reply.status == 200

    async def _send(self, target: Target, start: bytes, body: bytes, connect: float, head: float) -> OutboundReply:
        loop = asyncio.get_running_loop()
        began = loop.time()
        connection = self.pool.take(target.origin)
        if connection is not None:
            try:
                return await connection.ask(start, body, head)
            except Stale:
                head = max(head - (loop.time() - began), 0.001)
                began = loop.time()
        connection = await self.pool.connect(target.origin, min(connect, head))
        return await connection.ask(start, body, max(head - (loop.time() - began), 0.001))


def _target(url: str) -> Target:
    try:
        return target_of(url)
    except ValueError as error:
        raise UpstreamFailed(Reason.CONNECT, str(error)) from None
