"""Comments to a client whose stream nobody has begun to answer, and what follows them."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from msgspec.structs import replace

from support.fake_engine import Script, stream_of, whole_of
from support.local import until
from support.raw_engine import RawEngine, RawReply, raw_engine
from support.sidecars import REFUSAL, Cascade, cascade

COMMENT = b": keep-alive\n\n"
SSE = "text/event-stream"
PATIENCE, SILENCE = 0.05, 0.3
"""Seconds after which a comment comes, and that the engine takes for its answer."""


class Slow:
    """The entry, whose engine thinks for a while before it says what it was told."""

    def __init__(self, built: Cascade, engine: RawEngine) -> None:
        self.cascade = built
        self.engine = engine

    def says(self, reply: RawReply) -> None:
        reply.delay = SILENCE
        self.engine.answer = lambda _: reply

    async def ask(self, **fields: Any) -> tuple[aiohttp.ClientResponse, bytes]:
        """The response, and all bytes of its body behind the comments."""
        response = await self.cascade.ask(**{"stream": True, **fields})
        body = await response.read()
        said = body
        while said.startswith(COMMENT):
            said = said[len(COMMENT) :]
        assert COMMENT not in said, "once an answer has begun nothing is put between its bytes"
        return response, said


@pytest.fixture
async def slow(tmp_path: Path) -> AsyncIterator[Slow]:
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(raw_engine(lambda _: RawReply([whole_of("four")])))
        built = await stack.enter_async_context(cascade(tmp_path, only={"small": {"engine_url": engine.url}}))
        table = built.table()
        built.publish(replace(table, timeouts=replace(table.timeouts, keep_alive=PATIENCE)))
        built.scripts("unused", "four", "unused")
        yield Slow(built, engine)


@pytest.mark.parametrize("said", ["Rome", REFUSAL])
async def test_an_answer_follows_the_comments_byte_for_byte(slow: Slow, said: str) -> None:
    slow.says(RawReply(stream_of(said), SSE))
    response, body = await slow.ask()
    assert body == b"".join(stream_of("Rome" if said == "Rome" else "four"))
    assert response.status == 200
    assert response.headers["content-type"] == SSE
    assert "x-disrouter-path" not in response.headers, "nobody knows it when the head is sent"
    url = f"{slow.cascade.entry.url}/disrouter/v1/decisions/{response.headers['x-request-id']}"
    async with slow.cascade.http.get(url) as why:
        assert (await why.json())["path"] == ("small" if said == "Rome" else "small,medium")


async def test_one_that_is_answered_in_time_gets_no_comment_and_its_headers(slow: Slow) -> None:
    slow.engine.answer = lambda _: RawReply(stream_of("Rome"), SSE)
    response = await slow.cascade.ask(stream=True)
    assert await response.read() == b"".join(stream_of("Rome"))
    assert response.headers["x-disrouter-path"] == "small"
    await asyncio.sleep(3 * PATIENCE)
    assert (await slow.cascade.ask(stream=True)).status == 200, "and its connection goes on"


@pytest.mark.parametrize("fields", [{"stream": False}, {"model": "qwen/medium"}])
async def test_only_a_stream_at_the_sidecar_that_was_asked_gets_comments(slow: Slow, fields: dict[str, Any]) -> None:
    slow.says(RawReply([whole_of("Rome")]))
    slow.cascade.scripts("unused", Script(text="Rome", gap=0.0), "unused")
    response, body = await slow.ask(**fields)
    assert (response.status, b"Rome" in body) == (200, True)
    assert "x-disrouter-path" in response.headers


async def test_none_are_sent_where_the_table_wants_none(slow: Slow) -> None:
    table = slow.cascade.table()
    slow.cascade.publish(replace(table, timeouts=replace(table.timeouts, keep_alive=0)))
    slow.says(RawReply(stream_of("Rome"), SSE))
    response = await slow.cascade.ask(stream=True)
    assert await response.read() == b"".join(stream_of("Rome"))
    assert response.headers["x-disrouter-path"] == "small"


async def test_what_is_no_stream_becomes_an_event(slow: Slow) -> None:
    slow.says(RawReply([json.dumps(json.loads(whole_of("Rome")), indent=1).encode()]))
    _, body = await slow.ask()
    lines = [line.removeprefix(b"data: ") for line in body.splitlines() if line]
    assert json.loads(b"\n".join(lines)) == json.loads(whole_of("Rome"))


async def test_an_error_becomes_the_last_event(slow: Slow) -> None:
    slow.says(RawReply([b'{"error": {"message": "temperature must be positive", "code": 400}}'], status=400))
    _, body = await slow.ask()
    assert json.loads(body.removeprefix(b"data: "))["error"]["message"] == "temperature must be positive"


async def test_a_chain_without_an_answer_ends_in_an_error_event(slow: Slow) -> None:
    table = slow.cascade.table()
    timeouts = replace(table.timeouts, keep_alive=PATIENCE)
    slow.cascade.publish(replace(table, timeouts=timeouts, fallback=replace(table.fallback, policy="fail")))
    slow.says(RawReply([b"{}"], status=503))
    for agent in ("medium", "large"):
        slow.cascade.agents[agent].engine.script = Script(status=503, body=b"{}")
    _, body = await slow.ask()
    assert json.loads(body.removeprefix(b"data: "))["error"]["code"] == "no_agent_available"


async def test_a_stream_that_comes_compressed_is_said_to_be_useless(slow: Slow) -> None:
    packed = gzip.compress(b"".join(stream_of("Rome")))
    slow.says(RawReply([packed], SSE, headers={"content-encoding": "gzip"}))
    response, body = await slow.ask()
    assert "content-encoding" not in response.headers
    assert "compressed" in json.loads(body.removeprefix(b"data: "))["error"]["message"]


async def test_a_client_that_leaves_between_comments_ends_the_generation(three: Cascade) -> None:
    table = three.table()
    three.publish(replace(table, timeouts=replace(table.timeouts, keep_alive=PATIENCE)))
    three.entry.engine.script = Script(hang=True)
    response = await three.ask(stream=True)
    assert await response.content.readexactly(len(COMMENT)) == COMMENT
    response.close()
    assert await until(lambda: three.entry.service.metrics.inflight == 0)


async def test_the_client_of_openai_passes_over_them(slow: Slow) -> None:
    slow.says(RawReply(stream_of("Rome"), SSE))
    url = slow.cascade.entry.url
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        chunks = await client.chat.completions.create(
            model="qwen", messages=[{"role": "user", "content": "?"}], stream=True
        )
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in chunks]) == "Rome"
        slow.says(RawReply([b'{"error": {"message": "no", "code": 400}}'], status=400))
        with pytest.raises(openai.APIError, match="no"):
            async for _ in await client.chat.completions.create(
                model="qwen", messages=[{"role": "user", "content": "?"}], stream=True
            ):
                pass
