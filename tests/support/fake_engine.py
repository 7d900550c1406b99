"""A scripted engine on a real socket: a double of vLLM for faults that a real engine does not commit on demand."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from support.serving_app import serving_app

CONTEXT_LENGTH = "This model's maximum context length is 32 tokens. However, you requested 99 tokens."


def event(value: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"


def delta(index: int = 0, finish: str | None = None, **fields: Any) -> bytes:
    """One chunk of a streamed chat completion."""
    choice = {"index": index, "delta": fields, "finish_reason": finish}
    return event({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})


DONE = event(b"[DONE]")


def stream_of(text: str, choices: int = 1) -> list[bytes]:
    """What vLLM streams for `text`: a role, the words, a finish reason, the end."""
    words = [word + " " for word in text.split(" ")]
    words[-1] = words[-1].rstrip(" ")
    pieces = [delta(index, role="assistant", content="") for index in range(choices)]
    pieces += [delta(index, content=word) for word in words for index in range(choices)]
    return [*pieces, *(delta(index, finish="stop") for index in range(choices)), DONE]


def probe_of(chances: Mapping[str, float]) -> bytes:
    """The whole reply to a request for one token with its likeliest rivals."""
    top = [{"token": token, "logprob": math.log(chance), "bytes": None} for token, chance in chances.items()]
    choice = {"index": 0, "message": {"role": "assistant", "content": top[0]["token"]}, "finish_reason": "length"}
    choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
    usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
    return json.dumps({"id": "p", "object": "chat.completion", "choices": [choice], "usage": usage}).encode()


def whole_of(*texts: str, finish: str = "stop") -> bytes:
    """The whole reply with one choice a text."""
    choices = [
        {"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
        for index, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return json.dumps(
        {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, "usage": usage}
    ).encode()


@dataclass
class Script:
    """How the engine behaves; `pieces` and `body` override what `text` would say."""

    text: str = "four"
    status: int = 200
    body: bytes | None = None
    pieces: Sequence[bytes] | None = None
    gap: float = 0.0
    """Seconds between the pieces of a stream."""
    hang: bool = False
    """Never send a head."""
    then: str = "end"
    """After the pieces: `end`, `break` the connection, or `hang`."""
    content_type: str = "text/event-stream"
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of a whole reply."""
    uninstructed: str | None = None
    """What it says to a request without a scenario's instruction, where that differs."""
    chances: Mapping[str, float] | None = None
    """What a probe is told: probabilities of first tokens."""
    probe: bytes | None = None
    """Overrides a probe's reply."""


@dataclass
class FakeEngine:
    """What it was asked, and who hung up on it."""

    url: str = ""
    script: Script = field(default_factory=Script)
    healthy: bool = True
    adapters: dict[str, str] | None = None
    """Loaded adapters, name to path; None where the engine knows no adapters and serves whatever model is asked for."""
    model: str = ""
    """With `adapters`: the one model that is known beside them."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    sent: int = 0
    """Pieces of streams that went out."""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        script = self.script
        body = await request.json()
        if script.uninstructed is not None and "Scenario:" not in json.dumps(body):
            script = Script(text=script.uninstructed)
        self.bodies.append(body)
        self.asked.set()
        self.paths.append(request.path)
        self.headers.append({key.lower(): value for key, value in request.headers.items()})
        try:
            if script.hang:
                await asyncio.sleep(3600)
            if self.adapters is not None and body["model"] not in (self.model, *self.adapters):
                return web.Response(status=404, text='{"error": {"message": "no such model"}}')
            if "top_logprobs" in body and (script.probe or script.chances) is not None:
                content = script.probe if script.chances is None else probe_of(script.chances)
                return web.Response(body=content, content_type="application/json")
            if script.status != 200 or not body.get("stream"):
                content = whole_of(script.text) if script.body is None else script.body
                return web.Response(
                    status=script.status, body=content, headers={"content-type": "application/json", **script.headers}
                )
            return await self._stream(request, script)
        except (asyncio.CancelledError, ConnectionError):
            self.cancelled.set()
            raise

    async def _stream(self, request: web.Request, script: Script) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": script.content_type})
        await response.prepare(request)
        for piece in stream_of(script.text) if script.pieces is None else script.pieces:
            await response.write(piece)
            self.sent += 1
            await asyncio.sleep(script.gap)
        if script.then == "hang":
            await asyncio.sleep(3600)
        if script.then == "break":
            assert request.transport is not None
            request.transport.abort()
        return response

    async def load(self, request: web.Request) -> web.Response:
        """As vLLM's /v1/load_lora_adapter: a path that does not exist is 404, a name that is taken 400."""
        body = await request.json()
        if self.adapters is None or not body["lora_path"].startswith("/mnt/"):
            return web.Response(status=404, text='{"error": {"message": "no adapter there"}}')
        if body["lora_name"] in self.adapters:
            text = f"The lora adapter '{body['lora_name']}' has already been loaded."
            return web.Response(status=400, text=json.dumps({"error": {"message": text}}))
        self.adapters[body["lora_name"]] = body["lora_path"]
        return web.Response(text="Success: loaded")

    async def unload(self, request: web.Request) -> web.Response:
        """As vLLM's /v1/unload_lora_adapter."""
        name = (await request.json())["lora_name"]
        if not self.adapters or self.adapters.pop(name, None) is None:
            return web.Response(status=404)
        return web.Response(text="Success: removed")

    async def health(self, _: web.Request) -> web.Response:
        return web.Response(status=200 if self.healthy else 503)


@asynccontextmanager
async def fake_engine() -> AsyncIterator[FakeEngine]:
    """An engine on a free loopback port."""
    engine = FakeEngine()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    for api in ("chat/completions", "completions", "responses", "messages", "embeddings"):
        app.router.add_post(f"/v1/{api}", engine.answer)
        app.router.add_post(f"/{api}", engine.answer)  # where it plays a provider with a base address of its own
    app.router.add_post("/v1/load_lora_adapter", engine.load)
    app.router.add_post("/v1/unload_lora_adapter", engine.unload)
    app.router.add_get("/health", engine.health)
    async with serving_app(app) as engine.url:
        yield engine
