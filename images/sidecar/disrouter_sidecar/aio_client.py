"""`ports.Upstream` on aiohttp: pooled connections to the engine and to other agents."""

from __future__ import annotations

import asyncio
import io
from types import SimpleNamespace
from typing import Self

import aiohttp

from disrouter_sidecar.errors import Reason, UpstreamFailed
from disrouter_sidecar.ports import Headers

KEEP_ALIVE_SECONDS = 4.0
"""Less than uvicorn's 5 s, so that an engine seldom closes a connection just as it is taken from the pool."""
LARGE_BODY_BYTES = 1024 * 1024
"""Bodies above this are written in pieces, so that one upload does not hold up the other requests."""
_CLOSED = (aiohttp.ServerDisconnectedError, ConnectionResetError, BrokenPipeError)


class AioReply:
    """`ports.Reply`: the body is read raw, content encodings included."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Headers = {name.lower(): value for name, value in response.headers.items()}

    async def chunk(self, seconds: float) -> bytes:
        """The next bytes, empty at the end."""
        try:
            async with asyncio.timeout(seconds):
                return await self._response.content.readany()
        except TimeoutError:
            raise UpstreamFailed(Reason.TIMEOUT, f"silent for {seconds:.3g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamFailed(Reason.CONNECT, f"closed half-way ({type(error).__name__})") from error

    def close(self) -> None:
        """Keep the connection when the body is over, else close it: that is what ends a generation."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


class AioUpstream:
    """`ports.Upstream`: one session, no cookies, no redirects, no proxies from the environment, no limit of its own."""

    def __init__(self) -> None:
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_mark_reused)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"accept-encoding": "identity", "user-agent": "disrouter"},
            auto_decompress=False,
            trace_configs=[trace],
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def ask(self, url: str, body: bytes, headers: Headers, *, connect: float, head: float) -> AioReply:
        """POST; asked once more where a pooled connection turned out to be closed already."""
        timeout = aiohttp.ClientTimeout(total=None, connect=connect)
        for again in (True, False):
            connection = SimpleNamespace(reused=False)
            try:
                async with asyncio.timeout(head):
                    response = await self._session.post(
                        url,
                        data=body if len(body) <= LARGE_BODY_BYTES else io.BytesIO(body),
                        headers=headers,
                        timeout=timeout,
                        allow_redirects=False,
                        trace_request_ctx=connection,
                    )
                return AioReply(response)
            except (aiohttp.ClientError, OSError) as error:
                if again and connection.reused and isinstance(error, _CLOSED):
                    continue
                raise _failure(error, connect, head) from error
        raise AssertionError("unreachable: the second attempt returns or raises")

    async def healthy(self, url: str, seconds: float) -> bool:
        """Whether GET says 200 within `seconds`."""
        timeout = aiohttp.ClientTimeout(total=seconds)
        try:
            async with self._session.get(url, timeout=timeout, allow_redirects=False) as response:
                return response.status == 200
        except (aiohttp.ClientError, OSError):
            return False


async def _mark_reused(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _: aiohttp.TraceConnectionReuseconnParams
) -> None:
    if context.trace_request_ctx is not None:
        context.trace_request_ctx.reused = True


def _failure(error: Exception, connect: float, head: float) -> UpstreamFailed:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return UpstreamFailed(Reason.TIMEOUT, f"no connection within {connect:g} s")
    if isinstance(error, TimeoutError):
        return UpstreamFailed(Reason.TIMEOUT, f"no reply within {head:.3g} s")
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ConnectionRefusedError):
        return UpstreamFailed(Reason.REFUSED, "connection refused")
    return UpstreamFailed(Reason.CONNECT, type(cause).__name__)
