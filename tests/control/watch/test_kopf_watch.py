"""What Kopf itself does when its API server does not behave."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from disrouter_operator.kube.resource_versions import ResourceVersions
from disrouter_operator.kube.resources import CASCADES
from disrouter_operator.readiness.assessment import SurveyResult
from disrouter_operator.telemetry.metrics import Metrics
from disrouter_operator.watch import kopf_watch
from disrouter_operator.watch.supervisor import Watches


async def _gone(_: web.Request) -> web.Response:
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410}
    return web.json_response(status, status=410)


class _Fine:
    findings = SurveyResult()

    async def usable(self) -> SurveyResult:
        return self.findings


def _kubeconfig(url: str) -> str:
    named = {"name": "test"}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [named | {"cluster": {"server": url}}],
            "users": [named | {"user": {"token": "t"}}],
            "contexts": [named | {"context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        }
    )


async def test_a_failure_that_ends_the_watches_is_heard_of_and_they_are_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, paused, metrics = web.Application(), asyncio.Event(), Metrics()
    app.router.add_route("*", "/{path:.*}", _gone)

    async def pause(_: float) -> None:
        paused.set()
        await asyncio.Event().wait()

    async with TestServer(app) as server:
        (tmp_path / "config").write_text(_kubeconfig(str(server.make_url("/"))))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        watches = Watches(lambda _: None, ResourceVersions(), _Fine(), metrics, look_seconds=0.1, sleep=pause)
        running = asyncio.create_task(watches.run())
        try:
            async with asyncio.timeout(60):
                await paused.wait()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    assert metrics.watch_restarts.labels("failure")._value.get() == 1


async def test_the_cluster_is_asked_also_by_a_user_that_no_passwd_file_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, asked, stop = web.Application(), asyncio.Event(), threading.Event()

    async def listed(_: web.Request) -> web.Response:
        asked.set()
        stop.set()
        return await _gone(_)

    app.router.add_route("*", "/{path:.*}", listed)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 1234567)
    async with TestServer(app) as server:
        (tmp_path / "config").write_text(_kubeconfig(str(server.make_url("/"))))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        watching = kopf_watch.watch(lambda *_: None, lambda *_: None, [CASCADES], [], stop)
        running = asyncio.create_task(asyncio.to_thread(asyncio.run, watching))
        async with asyncio.timeout(60):
            await asyncio.wait([asyncio.create_task(asked.wait()), running], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.gather(running, return_exceptions=True)
    assert asked.is_set()
