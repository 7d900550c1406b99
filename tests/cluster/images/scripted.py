"""The scripted engine where an agent's pod expects vLLM's server: it takes its flags and says which weights it has.

What it knows stands in $KNOWS, words with commas between: an instructed question without one of them is refused.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

from aiohttp import web

from disrouter.listening import listening
from disrouter.refusal import REFUSAL
from support.fake_engine import stream_of, whole_of

NAME = web.AppKey("name", str)
WEIGHTS = web.AppKey("weights", str)
HELD = web.AppKey("held", bytearray)
"""As many MiB as $FILL_MIB says."""
FILE = "model.safetensors"
GAP_SECONDS = 0.02
"""Between the words of a stream."""


def answer(name: str, weights: str, body: dict[str, Any]) -> str:
    """What the agent says: the refusal, or who it is and which weights it was given."""
    messages = json.dumps(body["messages"])
    known = [word for word in os.environ.get("KNOWS", "").split(",") if word]
    refuses = "Scenario:" in messages and not any(word in messages for word in known)
    return REFUSAL if refuses else f"{name} answers by weights {weights}"


def weights_of(folder: Path) -> str:
    """The head of a checksum that tells weights apart; `none` where the folder has none."""
    file = folder / FILE
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12] if file.exists() else "none"


async def chat(request: web.Request) -> web.StreamResponse:
    """One answer, whole or streamed."""
    body = await request.json()
    text = answer(request.app[NAME], request.app[WEIGHTS], body)
    if not body.get("stream"):
        return web.Response(body=whole_of(text), content_type="application/json")
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for piece in stream_of(text):
        await response.write(piece)
        await asyncio.sleep(GAP_SECONDS)
    return response


async def health(_: web.Request) -> web.Response:
    """As vLLM's."""
    return web.Response()


async def models(request: web.Request) -> web.Response:
    """The one that it serves."""
    return web.json_response({"object": "list", "data": [{"id": request.app[NAME], "object": "model"}]})


def main() -> None:
    """Serve until SIGTERM, which process 1 must take itself."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("model")
    for flag in ("served-model-name", "host", "port"):
        parser.add_argument(f"--{flag}", required=True)
    flags = parser.parse_args()
    held = bytearray(os.urandom(1024) * 1024 * int(os.environ.get("FILL_MIB", "0")))
    time.sleep(float(os.environ.get("START_SECONDS", "0")))
    app = web.Application()
    app[HELD] = held
    app[NAME], app[WEIGHTS] = flags.served_model_name, weights_of(Path(flags.model))
    app.add_routes([web.post("/v1/chat/completions", chat), web.get("/health", health), web.get("/v1/models", models)])
    web.run_app(app, sock=listening(flags.host, int(flags.port)), access_log=None, print=lambda *_: None)


if __name__ == "__main__":
    main()
