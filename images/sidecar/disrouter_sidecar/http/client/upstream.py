"""`ports.Upstream`: asks on a pooled connection, once more on a new one where the pooled one had been closed."""

from __future__ import annotations

import asyncio
import ssl
from typing import Self, cast

from disrouter_sidecar.errors import Reason, UpstreamFailed
from disrouter_sidecar.headers import Headers, Lines, lines
from disrouter_sidecar.http.client.origin import Target, target_of
from disrouter_sidecar.http.client.pool import Pool
from disrouter_sidecar.http.client.reply import OutboundReply
from disrouter_sidecar.http.client.request import Question, Waiting
from disrouter_sidecar.http.ports import Hearer


class HttpUpstream:
    """No cookies, no redirects, no proxies from the environment; content encodings are neither asked for nor undone."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.pool = Pool(tls)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.pool.close()

    def send(self, url: str, head: Lines, body: bytes, hearer: Hearer, *, connect: float, first: float) -> Question:
        """POST and tell the hearer of the reply's head. Raises UpstreamFailed."""
        target = _target(url)
        start = f"{target.post}{head}content-length: {len(body)}\r\n\r\n".encode("latin-1")
        return Question(self.pool, target.origin, start, body, hearer, connect, first)

    async def ask(self, url: str, body: bytes, headers: Headers, *, connect: float, head: float) -> OutboundReply:
        """POST and wait for the reply's head. Raises UpstreamFailed."""
        waiting = Waiting()
        return await _heard(waiting, self.send(url, lines(headers), body, waiting, connect=connect, first=head))

    async def healthy(self, url: str, seconds: float) -> bool:
        """Whether GET says 200 within `seconds`."""
        waiting = Waiting()
        try:
            target = _target(url)
            start = f"{target.get}\r\n".encode()
            question = Question(self.pool, target.origin, start, b"", waiting, seconds, seconds)
            reply = await _heard(waiting, question)
        except UpstreamFailed:
            return False
        reply.close(ending=True)
        return reply.status == 200


async def _heard(waiting: Waiting, question: Question) -> OutboundReply:
    try:
        return cast(OutboundReply, await waiting.future)
    except asyncio.CancelledError:
        question.cancel()
        raise


def _target(url: str) -> Target:
    try:
        return target_of(url)
    except ValueError as error:
        raise UpstreamFailed(Reason.CONNECT, str(error)) from None
