"""An engine that takes any body on any path and answers as it is told: vectors, sound, errors, a broken reply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from support.serving_app import serving_app


@dataclass(frozen=True)
class Reply:
    """What it says: a whole body, or `pieces` in chunks."""

    body: bytes = b"{}"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    pieces: Sequence[bytes] | None = None
    gap: float = 0.0
    """Seconds between pieces."""
    then: str = "end"
    """After the pieces: `end`, `break` the connection, or `hang`."""


@dataclass
class AnyEngine:
    """What it was asked, in order."""

    url: str = ""
    reply: Reply = field(default_factory=Reply)
    paths: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    at_once: int = 0
    """Requests that it is at now."""
    most_at_once: int = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.read())
        self.paths.append(request.path)
        self.headers.append({key.lower(): value for key, value in request.headers.items()})
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self._answer(request, self.reply)
        except (asyncio.CancelledError, ConnectionError):
            self.cancelled.set()
            raise
        finally:
            self.at_once -= 1

    async def health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _answer(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        if reply.pieces is None:
            await asyncio.sleep(reply.gap)
            return web.Response(status=reply.status, body=reply.body, headers=reply.headers)
        response = web.StreamResponse(status=reply.status, headers=reply.headers)
        await response.prepare(request)
        for piece in reply.pieces:
            await response.write(piece)
            await asyncio.sleep(reply.gap)
        if reply.then == "hang":
            await asyncio.sleep(3600)
        if reply.then == "break":
            assert request.transport is not None
            request.transport.abort()
        return response


@asynccontextmanager
async def any_engine() -> AsyncIterator[AnyEngine]:
    """One on a free loopback port."""
    engine = AnyEngine()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_get("/health", engine.health)
    app.router.add_post("/{path:.*}", engine.answer)
    async with serving_app(app) as engine.url:
        yield engine
