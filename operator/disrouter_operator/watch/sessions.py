"""Kopf's HTTP sessions, traced: the only place where a watch shows that it is open.

Kopf 1.45 has no hook for that. `ready_flag` is set when its tasks are started, handlers hear of objects alone (a kind
without any stays silent), its bookmarks stay inside, and its liveness endpoint asks handlers of ours. But a login
handler may bring a session of its own, and aiohttp tells what becomes of each of its requests: the API server answers
a watch with its headers as soon as it streams, and Kopf asks again at once when a stream ends.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from types import SimpleNamespace
from typing import Any

import aiohttp
from yarl import URL

from disrouter_operator.errors import REFUSED
from disrouter_operator.kube.resource_versions import Scope
from disrouter_operator.kube.resources import Resource
from disrouter_operator.readiness.open_watches import Closed

Observe = Callable[[Scope, Closed | None], None]
"""Told of each request for a kind, in the watch's own thread: its watch is open now (None), or why it is not."""


class Sessions:
    """Makes one session for each set of credentials: the same ones bring the same session, which Kopf then knows to be
    of no use any more."""

    def __init__(
        self,
        kinds: Collection[Resource] = (),
        namespaces: Sequence[str] = (),
        observe: Observe = lambda *_: None,
    ) -> None:
        self._observe = observe
        self._scopes = {kind.path(place): (kind, place) for kind in kinds for place in namespaces or (None,)}
        self._made: tuple[object, aiohttp.ClientSession] | None = None

    def of(self, credentials: object, make: Callable[[], aiohttp.ClientSession]) -> aiohttp.ClientSession:
        """The session for these credentials."""
        if self._made is None or self._made[0] != credentials:
            self._made = credentials, make()
        return self._made[1]

    async def close(self) -> None:
        """Close it if Kopf left it open."""
        if self._made is not None:
            await self._made[1].close()

    def trace(self, server: str) -> aiohttp.TraceConfig:
        """What to listen with on a session that talks to `server`."""
        prefix = URL(server).path.rstrip("/")

        def scope(url: URL) -> Scope | None:
            return self._scopes.get(url.path.removeprefix(prefix))

        async def started(_: Any, __: SimpleNamespace, request: aiohttp.TraceRequestStartParams) -> None:
            if found := scope(request.url):
                self._observe(found, Closed())

        async def answered(_: Any, __: SimpleNamespace, request: aiohttp.TraceRequestEndParams) -> None:
            if found := scope(request.url):
                verb, status = "watch" if "watch" in request.url.query else "list", request.response.status
                if status != 200:
                    self._observe(found, Closed(f"{verb}: HTTP {status}", refused=status in REFUSED))
                elif verb == "watch":
                    self._observe(found, None)

        async def failed(_: Any, __: SimpleNamespace, request: aiohttp.TraceRequestExceptionParams) -> None:
            if found := scope(request.url):
                self._observe(found, Closed(f"{type(request.exception).__name__}: {request.exception}"))

        config = aiohttp.TraceConfig()
        config.on_request_start.append(started)
        config.on_request_end.append(answered)
        config.on_request_exception.append(failed)
        return config
