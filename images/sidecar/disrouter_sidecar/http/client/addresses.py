"""The addresses of hosts, and those found last for when no name server answers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

PATIENCE_SECONDS = 0.5
"""For a lookup whose host's addresses are known: resolvers wait five seconds for a name server, and ask again."""

Lookup = Callable[[str], Awaitable[Sequence[tuple[Any, ...]]]]
"""A host to what getaddrinfo returns. Raises OSError."""


class Addresses:
    """Every connection looks up afresh, so that a Service which moves is followed; a lookup under way is shared.

    The name server's pod may be on the node that is lost, while a Service keeps its address as long as it lives.
    """

    def __init__(self, lookup: Lookup | None = None) -> None:
        self._lookup = lookup or _getaddrinfo
        self._known: dict[str, list[str]] = {}
        self._under_way: dict[str, asyncio.Task[list[str]]] = {}

    async def of(self, host: str, seconds: float) -> list[str]:
        """In the order in which they are to be tried, within `seconds` that also a connection shall come about in.

        Raises OSError where there are none; a host that is not known yet is waited for longer.
        """
        if _is_address(host):
            return [host]
        lookup = self._under_way.get(host) or self._begin(host)
        if host in self._known:
            await asyncio.wait((lookup,), timeout=min(PATIENCE_SECONDS, seconds / 2))
        known = self._known.get(host)
        return await asyncio.shield(lookup) if known is None else known

    def _begin(self, host: str) -> asyncio.Task[list[str]]:
        task = self._under_way[host] = asyncio.get_running_loop().create_task(self._find(host))
        task.add_done_callback(lambda done: self._ended(host, done))
        return task

    async def _find(self, host: str) -> list[str]:
        try:
            found = await self._lookup(host)
        except socket.gaierror as error:
            if error.errno in _NO_SUCH_NAME:
                self._known.pop(host, None)
            raise
        self._known[host] = addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        return addresses

    def _ended(self, host: str, task: asyncio.Task[list[str]]) -> None:
        del self._under_way[host]
        if not task.cancelled():
            task.exception()  # Whoever waited has seen it; nobody may have.


_NO_SUCH_NAME = {socket.EAI_NONAME, socket.EAI_NODATA}


async def _getaddrinfo(host: str) -> Sequence[tuple[Any, ...]]:
    return await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)


def _is_address(host: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    except OSError:
        return False
    return True
