"""The smoke question over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from disrouter_operator.reconcile.smoke_http import over_http
from disrouter_operator.smoke_probe import SmokeProbe


@asynccontextmanager
async def sidecar(status: int, body: Any) -> AsyncIterator[tuple[str, list[Any]]]:
    """A server that answers chat completions as told, and what it was asked."""
    asked: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(await request.json())
        return web.json_response(body, status=status)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("status", "body", "complaint"),
    [
        (200, {"id": "x", "choices": [{"message": {"content": "yes"}}]}, None),
        (401, {"error": {"message": "no key"}}, None),
        (503, {"error": {"message": "engine is down"}}, "HTTP 503: "),
        (200, {"error": "half"}, "HTTP 200: "),
    ],
)
async def test_only_a_completion_or_the_wish_for_a_key_is_a_good_answer(
    status: int, body: Any, complaint: str | None
) -> None:
    async with sidecar(status, body) as (url, asked):
        answer = await over_http(SmokeProbe("new", url, "qwen/small"))
    assert (answer or "").startswith(complaint or "")
    assert (answer is None) is (complaint is None)
    assert asked[0]["model"] == "qwen/small", "pinned: no other agent may answer"
    assert asked[0]["max_tokens"] < 10


async def test_pods_out_of_reach_are_a_complaint_with_a_remedy() -> None:
    async with sidecar(200, {}) as (url, _):
        pass
    answer = await over_http(SmokeProbe("new", url, "qwen/small"))
    assert answer is not None
    assert "let the operator's pods reach it" in answer
    assert "--smoke=false" in answer
