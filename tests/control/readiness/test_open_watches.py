"""When Kopf's watch of a kind without objects is seen to open, to close, and to be refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from disrouter_operator.kube.resource_versions import Scope
from disrouter_operator.kube.resources import CASCADES, Resource
from disrouter_operator.readiness.open_watches import Closed, OpenWatches
from disrouter_operator.watch import kopf_watch


class _Server:
    """The little of an API server that Kopf asks, behind a path as a proxy for many clusters has it."""

    def __init__(self) -> None:
        self.let_through, self.end = asyncio.Event(), asyncio.Event()
        self.refuse = False
        self.watches = 0

    def app(self) -> web.Application:
        app = web.Application()
        version = {"version": CASCADES.version}
        group = {"name": CASCADES.group, "preferredVersion": version, "versions": [version]}
        kind = {"name": CASCADES.plural, "kind": CASCADES.kind, "singularName": "", "namespaced": True}
        kind |= {"verbs": ["list", "watch"]}
        namespaces = {"name": "namespaces", "kind": "Namespace", "singularName": "", "namespaced": False}
        app.router.add_get("/k8s/cluster/api", _answer({"versions": ["v1"]}))
        app.router.add_get("/k8s/cluster/api/v1", _answer({"resources": [namespaces]}))
        app.router.add_get("/k8s/cluster/apis", _answer({"groups": [group]}))
        app.router.add_get(f"/k8s/cluster{CASCADES.root}", _answer({"resources": [kind]}))
        app.router.add_get("/k8s/cluster" + CASCADES.path("team"), self._list)
        return app

    async def _list(self, request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.json_response({"items": [], "metadata": {"resourceVersion": "1"}})
        self.watches += 1
        if self.refuse:
            return web.json_response({"kind": "Status", "code": 403, "message": "cannot watch"}, status=403)
        await self.let_through.wait()
        stream = web.StreamResponse()
        await stream.prepare(request)
        await self.end.wait()
        self.let_through.clear()
        self.end.clear()
        return stream


def _answer(body: object) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(body)

    return answer


@asynccontextmanager
async def _watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: _Server) -> AsyncIterator[OpenWatches]:
    """The real watch in a thread of its own, as the operator has it."""
    loop, stop, streams = asyncio.get_running_loop(), threading.Event(), OpenWatches([CASCADES], ["team"])

    def observe(scope: Scope, closed: Closed | None) -> None:
        loop.call_soon_threadsafe(streams.note, scope, closed)

    async with TestServer(server.app()) as served:
        named = {"name": "test"}
        config = {
            "clusters": [named | {"cluster": {"server": str(served.make_url("/k8s/cluster"))}}],
            "users": [named | {"user": {"token": "t"}}],
            "contexts": [named | {"context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        }
        (tmp_path / "config").write_text(yaml.safe_dump(config))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        work = kopf_watch.watch(lambda *_: None, observe, [CASCADES], ["team"], stop)
        running = asyncio.create_task(asyncio.to_thread(asyncio.run, work))
        try:
            yield streams
        finally:
            stop.set()
            server.let_through.set()
            server.end.set()
            await asyncio.gather(running, return_exceptions=True)


async def _until(ready: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not ready():  # noqa: ASYNC110  nothing announces it
            await asyncio.sleep(0.005)


async def test_a_watch_is_open_from_its_first_answer_until_its_stream_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = _Server()
    async with _watched(tmp_path, monkeypatch, server) as streams:
        await _until(lambda: server.watches == 1)
        assert streams.missing() == {CASCADES: Closed()}, "it is asked for, and nothing came yet"
        server.let_through.set()
        await _until(lambda: not streams.missing())
        server.end.set()
        await _until(lambda: bool(streams.missing()))
        server.let_through.set()
        await _until(lambda: not streams.missing())


async def test_a_watch_that_is_refused_says_so_at_the_first_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = _Server()
    server.refuse = True
    wanted: dict[Resource, Closed] = {CASCADES: Closed("watch: HTTP 403", refused=True)}
    async with _watched(tmp_path, monkeypatch, server) as streams:
        await _until(lambda: streams.missing() == wanted)
        assert server.watches <= 2
