"""Clients whose TLS handshake is under way: bounded in number and in time, as all is that a stranger can begin.

The loop's own servers tell nobody of a client before its handshake is done, however many silent ones there are.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

from disrouter_sidecar.http.limits import Limits

PAUSE_SECONDS = 0.1
"""After an accept that failed: there are too many open files, for example."""
_log = logging.getLogger(__name__)


class Handshakes:
    """Accepts clients on a socket and has each secured; then its protocol, made by `client`, is connected."""

    def __init__(
        self, bound: socket.socket, tls: ssl.SSLContext, limits: Limits, client: Callable[[], asyncio.Protocol]
    ) -> None:
        self._bound = bound
        self._tls = tls
        self._limits = limits
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._under_way: dict[asyncio.Task[None], None] = {}
        """The oldest first."""
        bound.setblocking(False)
        self._accepting = self._loop.create_task(self._accept())

    def __len__(self) -> int:
        return len(self._under_way)

    async def stop(self) -> None:
        """Accept no more, and end what is under way."""
        tasks = [self._accepting, *self._under_way]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._bound.close()

    async def _accept(self) -> None:
        while True:
            try:
                accepted, _ = await self._loop.sock_accept(self._bound)
            except OSError as error:
                _log.warning("a client cannot be accepted", extra={"error": str(error)})
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            self._begin(accepted)

    def _begin(self, accepted: socket.socket) -> None:
        """Of too many the oldest gives way: it has been silent for longest."""
        if len(self._under_way) >= self._limits.handshakes:
            oldest = next(iter(self._under_way))
            del self._under_way[oldest]
            oldest.cancel()
        task = self._loop.create_task(self._secure(accepted))
        self._under_way[task] = None
        task.add_done_callback(lambda done: self._under_way.pop(done, None))

    async def _secure(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._client, accepted, ssl=self._tls, ssl_handshake_timeout=self._limits.handshake_seconds
            )
        except OSError:  # it speaks no TLS, is too slow, or has gone
            accepted.close()
        except asyncio.CancelledError:
            accepted.close()
            raise
