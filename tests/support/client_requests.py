"""What every client is asked in front of the tiny model, and how to see that the engine stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
from pydantic import BaseModel

from support import tiny_model
from support.exposition import samples
from support.fake_engine import FakeEngine
from support.tiny_cascade import MODEL

ANSWERED = (
    (tiny_model.KNOWN, tiny_model.ANSWER, "small"),
    (tiny_model.UNKNOWN, tiny_model.LAST_ANSWER, "small,large"),
)
"""Question, answer, and the agents that are asked for it."""
TOGETHER = 64
LIMIT = 40
"""Tokens: more than any answer has."""
ENDLESS: dict[str, Any] = {"ignore_eos": True, "min_tokens": 200}
"""Fields by which vLLM goes on for seconds."""
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A PNG of one pixel."""
IMAGE = f"data:image/png;base64,{DOT}"


class Tell(BaseModel):
    """Arguments of a tool, and a structured answer: all of it that a model can choose is one word."""

    ok: bool


class Seeing(NamedTuple):
    """Where a cascade listens, and its last engine, which takes images."""

    url: str
    large: FakeEngine


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}},
    "required": ["ok"],
    "additionalProperties": False,
}


@asynccontextmanager
async def ended_by_leaving(engine: str) -> AsyncIterator[None]:
    """What begins inside and is left unfinished, vLLM drops: it stops running, and never counts as finished."""
    before = await _sum_of(engine, "request_success_total")
    yield
    await _ask_for_a_token(engine)  # the count of what runs is that of the last step
    async with asyncio.timeout(30):
        while await _sum_of(engine, "num_requests_running"):  # noqa: ASYNC110  it counts for itself, nobody waits for it
            await asyncio.sleep(0.02)
    assert await _sum_of(engine, "request_success_total") == before + 1


async def _ask_for_a_token(engine: str) -> None:
    asked = {"model": MODEL, "prompt": "x", "max_tokens": 1}
    async with aiohttp.ClientSession() as http, http.post(f"{engine}/v1/completions", json=asked) as response:
        assert response.status == 200


async def _sum_of(engine: str, name: str) -> float:
    """One of vLLM's numbers, whatever its labels."""
    async with aiohttp.ClientSession() as http, http.get(f"{engine}/metrics") as response:
        found = [sample.value for sample in samples(await response.text()) if sample.name == f"vllm:{name}"]
    assert found, f"vLLM has no metric {name}"
    return sum(found)
