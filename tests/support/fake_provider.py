"""A provider outside that behaves like OpenAI's: it wants its key, knows its fields and has limits."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from support.fake_engine import stream_of, whole_of

KEY = "sk-provider-key"
MODEL = "gpt-big"
_FIELDS = frozenset(
    {
        *("model", "messages", "stream", "stream_options", "n", "stop", "temperature", "seed", "tools", "tool_choice"),
        *("response_format", "logprobs", "top_logprobs", "max_completion_tokens", "user", "metadata"),
    }
)


@dataclass
class Provider:
    """What it was asked. `limited`: seconds it is over its quota; `broken`: status, type and body of any answer."""

    url: str = ""
    text: str = "four"
    limited: int | None = None
    broken: tuple[int, str, str] | None = None
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return _error(401, "Incorrect API key provided: sk-pro****key.", "invalid_api_key")
        if self.limited is not None:
            return _error(
                429, "Rate limit reached for org-42.", "rate_limit_exceeded", {"retry-after": str(self.limited)}
            )
        if self.broken is not None:
            status, kind, text = self.broken
            return web.Response(status=status, content_type=kind, text=text)
        return self._answer(await request.json())

    async def models(self, request: web.Request) -> web.Response:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return _error(401, "Incorrect API key provided: sk-pro****key.", "invalid_api_key")
        return web.json_response({"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    def _answer(self, body: dict[str, Any]) -> web.Response:
        self.bodies.append(body)
        unknown = sorted(body.keys() - _FIELDS)
        if unknown:
            return _error(400, f"Unrecognized request argument supplied: {unknown[0]}", None)
        if body["model"] != MODEL:
            return _error(404, f"The model `{body['model']}` does not exist", "model_not_found")
        if body.get("stream"):
            return web.Response(body=b"".join(stream_of(self.text)), content_type="text/event-stream")
        return web.Response(body=whole_of(self.text), content_type="application/json")


def _error(status: int, message: str, code: str | None, headers: dict[str, str] | None = None) -> web.Response:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return web.Response(
        status=status, text=json.dumps({"error": error}), content_type="application/json", headers=headers
    )


@asynccontextmanager
async def fake_provider(base: str = "/v1") -> AsyncIterator[Provider]:
    """A provider whose API lies under `base`."""
    provider = Provider()
    app = web.Application()
    app.router.add_post(f"{base}/chat/completions", provider.chat)
    app.router.add_get(f"{base}/models", provider.models)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}{base}"
    try:
        yield provider
    finally:
        await runner.cleanup()
