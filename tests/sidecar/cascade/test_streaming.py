"""What travels while a stream is held back, committed, refused or abandoned."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest

from disrouter_sidecar.app.process import running
from support.fake_engine import Script, delta, fake_engine, stream_of
from support.sidecar_process import line
from support.sidecars import REFUSAL, Cascade, config_of


def bytewise(text: str) -> list[bytes]:
    return [bytes([byte]) for piece in stream_of(text) for byte in piece]


@pytest.mark.parametrize(("text", "path"), [("no doubt: four", "small"), (REFUSAL, "small,medium")])
async def test_an_engine_that_sends_byte_by_byte(three: Cascade, text: str, path: str) -> None:
    three.entry.engine.script = Script(pieces=bytewise(text))
    response = await three.ask(stream=True)
    body = await response.read()
    assert response.headers["x-disrouter-path"] == path
    assert body == b"".join(stream_of(text if path == "small" else "four"))


async def test_nothing_is_sent_before_the_commit_and_everything_held_right_after_it(three: Cascade) -> None:
    pieces = [delta(content="I don"), delta(content="ate"), delta(content="d")]
    three.entry.engine.script = Script(pieces=pieces, gap=0.4)
    response = await three.ask(stream=True)
    assert three.entry.engine.sent == 2, "the head comes with the piece that decides"
    first = await response.content.readany()
    assert first == pieces[0] + pieces[1]
    assert three.entry.engine.sent == 2
    assert await response.read() == pieces[2]


async def test_a_refusal_ends_the_generation(three: Cascade) -> None:
    three.entry.engine.script = Script(pieces=[delta(content=REFUSAL)], then="hang")
    response = await three.ask(stream=True)
    assert response.headers["x-disrouter-path"] == "small,medium"
    await asyncio.wait_for(three.entry.engine.cancelled.wait(), 2)


@pytest.mark.parametrize("depth", [0, 1, 2])
async def test_a_client_that_leaves_a_stream_ends_the_generation_wherever_it_is(three: Cascade, depth: int) -> None:
    endless = Script(pieces=[delta(content="word ")] * 1000, gap=0.01)
    three.scripts(*[Script(text=REFUSAL)] * depth, *[endless] * (3 - depth))
    response = await three.ask(stream=True)
    await response.content.readany()
    response.close()
    engine = list(three.agents.values())[depth].engine
    await asyncio.wait_for(engine.cancelled.wait(), 2)
    assert all(agent.metric("disrouter_inflight_requests") == 0 for agent in three.agents.values())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("depth", [0, 2])
async def test_a_client_that_leaves_while_it_waits_ends_the_generation(
    three: Cascade, stream: bool, depth: int
) -> None:
    three.scripts(*[Script(text=REFUSAL)] * depth, *[Script(hang=True)] * (3 - depth))
    waiting = asyncio.create_task(three.ask(stream=stream))
    engine = list(three.agents.values())[depth].engine
    async with asyncio.timeout(2):
        await engine.asked.wait()
        waiting.cancel()
        await engine.cancelled.wait()
    labels = {"cascade": "qwen", "scenario": "balance", "decision": "failover"}
    failovers = [
        agent.metric("disrouter_agent_decisions_total", agent=name, **labels) for name, agent in three.agents.items()
    ]
    assert failovers == [0, 0, 0], "a client that leaves is no failure of an agent"


async def test_a_client_that_reads_slowly_slows_the_engine_down(three: Cascade) -> None:
    """Bounded buffers: a flood of 64 MiB does not pile up in the sidecar while nobody reads."""
    flood = Script(pieces=[delta(content="x" * 65536)] * 1024)
    three.entry.engine.script = flood
    response = await three.ask(stream=True)
    await asyncio.sleep(0.3)
    sent = three.entry.engine.sent
    assert 0 < sent < 1024
    await response.read()
    assert three.entry.engine.sent == 1024


async def test_the_openai_client_streams_through_the_cascade(three: Cascade) -> None:
    three.scripts(REFUSAL, REFUSAL, "forty two")
    async with three.openai() as client:
        stream = await client.chat.completions.with_raw_response.create(
            model="qwen", messages=[{"role": "user", "content": "x"}], stream=True
        )
        assert stream.headers["x-disrouter-path"] == "small,medium,large"
        said = [chunk.choices[0].delta.content or "" async for chunk in stream.parse()]
    assert "".join(said) == "forty two"


async def test_the_openai_client_asks_whole(three: Cascade) -> None:
    three.scripts(REFUSAL, "four", "unused")
    async with three.openai() as client:
        reply = await client.chat.completions.create(
            model="qwen",
            messages=[{"role": "user", "content": "x"}],
            extra_body={"disrouter": {"preference": 0.2}},
        )
    assert reply.choices[0].message.content == "four"


async def test_many_requests_at_once_each_get_their_own_answer(three: Cascade) -> None:
    three.scripts(REFUSAL, Script(text="four", gap=0.001), "unused")
    responses = await asyncio.gather(*(three.ask(stream=index % 2 == 0) for index in range(100)))
    bodies = [await response.read() for response in responses]
    assert {response.headers["x-disrouter-path"] for response in responses} == {"small,medium"}
    assert set(bodies[::2]) == {b"".join(stream_of("four"))}
    assert {json.loads(body)["choices"][0]["message"]["content"] for body in bodies[1::2]} == {"four"}
    assert len({response.headers["x-request-id"] for response in responses}) == 100


async def test_a_stream_that_the_end_of_the_sidecar_cuts_says_so(tmp_path: Path) -> None:
    """Its client would else take what it got for the whole answer, or a broken network for the cause."""
    async with fake_engine() as engine, aiohttp.ClientSession() as http:
        engine.script = Script(text="four", then="hang")
        routes = tmp_path / "routes.json"
        routes.write_text(line({"small": "http://127.0.0.1:9"}).to_json())
        async with running(config_of("small", engine.url, routes)) as (service, listener):
            port = await listener.start("127.0.0.1", 0)
            body = {"model": "qwen", "stream": True, "messages": [{"role": "user", "content": "x"}]}
            response = await http.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=body)
            assert b"four" in await response.content.readuntil(b"four")
            await listener.stop(0.05)
            *_, last, end = (await response.read()).split(b"\n\n")
            assert end == b""
            assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "upstream_failed"
            assert b"shutting down" in last
            assert service.metrics.inflight == 0
            await asyncio.wait_for(engine.cancelled.wait(), 5)
