"""What all requests hold together is bounded: a request beyond it gets 503, and the others are served."""

from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc
from urllib.parse import urlsplit

import orjson
import pytest

from disrouter_sidecar.agents.attempt import MAX_REPLY_BYTES, AgentAttempt, Attempt
from disrouter_sidecar.agents.engine_attempt import EngineAttempt
from disrouter_sidecar.cascade.chain_run import ChainRun
from disrouter_sidecar.cascade.inbound_request import InboundRequest
from disrouter_sidecar.config import MAX_BODY_BYTES
from disrouter_sidecar.decision.stream import StreamDecider
from disrouter_sidecar.errors import Rejected
from disrouter_sidecar.http.client.reply import OutboundReply
from disrouter_sidecar.http.client.request import OutboundRequest
from disrouter_sidecar.http.memory_limits import REQUEST_BYTES, MemoryLimit, parsed_size
from disrouter_sidecar.http.server.exchange import Exchange
from support.fake_engine import Script
from support.local import until
from support.sidecars import REFUSAL, Cascade

MIB = 1024 * 1024
SHAPES = [b"{}", b"[]", b"[1]", b'{"a":1}', b'{"":{}}', b'"ab"', b'""', b"999", b"1.5", b"null"]


def many(item: bytes, size: int) -> bytes:
    """A body of that many bytes that holds little else."""
    head = b'{"model":"qwen","messages":[{"role":"user","content":"hi"}],"x":['
    return head + b",".join([item] * ((size - len(head) - 2) // (len(item) + 1))) + b"]}"


@pytest.mark.parametrize("body", [*(many(item, MIB) for item in SHAPES), json.dumps({"x": "x" * MIB + "🙂"}).encode()])
def test_a_body_is_charged_at_least_what_parsing_takes_and_may_be_sent_alone(body: bytes) -> None:
    tracemalloc.start()
    value = orjson.loads(body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert value
    assert len(body) + peak <= parsed_size(body)


def test_the_largest_body_of_small_objects_that_is_let_in_fits_the_containers_memory() -> None:
    assert parsed_size(many(b"{}", MAX_BODY_BYTES)) <= REQUEST_BYTES <= 256 * MIB


def test_a_share_is_given_back_whatever_happens() -> None:
    memory = MemoryLimit(10, "request")
    with memory.claim() as first:
        first(6)
        with memory.claim() as second:
            second(4)
            with pytest.raises(Rejected) as full:
                second(1)
        assert (full.value.status, memory.used) == (503, 6)
        with pytest.raises(Rejected) as never:
            first(5)
        assert never.value.status == 413
    assert memory.used == 0


async def test_large_bodies_at_once_are_told_to_come_back_and_then_served(three: Cascade) -> None:
    body = b'{"model": "qwen", "messages": [{"role": "user", "content": "%b"}]}' % (b"x" * MIB)
    memory = three.entry.service.request_memory
    with memory.claim() as take:
        take(memory.limit - 8 * MIB)
        response = await three.post(body)
        assert response.status == 503
        assert int(response.headers["retry-after"]) > 0
        assert (await response.json())["error"]["code"] == "overloaded"
    three.entry.engine.script = Script(text="four")
    assert (await three.post(body)).status == 200
    await until(lambda: memory.used == 0)


@pytest.mark.parametrize("stream", [False, True])
async def test_replies_held_at_once_are_bounded_too(three: Cascade, stream: bool) -> None:
    three.scripts(REFUSAL, "four", "unused")
    replies = three.entry.service.reply_memory
    with replies.claim() as take:
        take(96 * MIB - 10)
        response = await three.ask(stream=stream)
        assert response.status == 503
        assert (await response.json())["error"]["code"] == "overloaded"
    assert (await three.ask(stream=stream)).status == 200
    await until(lambda: replies.used == 0)


KINDS = (
    InboundRequest,
    ChainRun,
    Attempt,
    EngineAttempt,
    AgentAttempt,
    StreamDecider,
    Exchange,
    OutboundRequest,
    OutboundReply,
)


def alive() -> list[str]:
    return [kind.__name__ for found in gc.get_objects() for kind in KINDS if type(found) is kind]


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answered_request_leaves_nothing_for_the_collector(three: Cascade, stream: bool) -> None:
    gc.collect()
    gc.disable()
    try:
        for scripts in (("four", "", ""), (REFUSAL, Script(status=500), "four"), (Script(status=503), REFUSAL, "four")):
            three.scripts(*scripts)
            assert (await (await three.ask(stream=stream)).read()) != b""
        assert (await three.ask("nobody", stream=stream)).status == 404
        three.scripts(Script(hang=True), "", "")
        three.entry.engine.asked.clear()
        asking = asyncio.create_task(three.ask(stream=stream))
        await asyncio.wait_for(three.entry.engine.asked.wait(), 10)
        asking.cancel()
        await asyncio.wait_for(three.entry.engine.cancelled.wait(), 10)
        await until(lambda: alive() == [])
    finally:
        gc.enable()


async def test_an_open_stream_holds_nothing_of_its_request(three: Cascade) -> None:
    """Else a few long prompts whose answers take their time would keep everybody else out."""
    three.entry.engine.script = Script(text="four", then="hang")
    response = await three.ask(stream=True, messages=[{"role": "user", "content": "x" * 100_000}])
    assert await response.content.readany()
    service = three.entry.service
    assert (service.metrics.inflight, service.request_memory.used, service.reply_memory.used) == (1, 0, 0)
    response.close()
    await until(lambda: service.metrics.inflight == 0)


async def test_a_whole_reply_is_charged_until_its_client_has_read_most_of_it(three: Cascade) -> None:
    size = 8 * MIB
    three.entry.engine.script = Script(text="x" * size)
    replies, address = three.entry.service.reply_memory, urlsplit(three.entry.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=1024)
    body = b'{"model":"qwen","messages":[{"role":"user","content":"hi"}]}'
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    await reader.readuntil(b"\r\n")
    await asyncio.sleep(0.1)
    assert replies.used > size
    while replies.used:
        assert await asyncio.wait_for(reader.read(MIB), 10)
    writer.close()


async def test_a_reply_that_is_too_large_is_nobodys_fault(three: Cascade) -> None:
    three.entry.engine.script = Script(body=b"{" + b" " * MAX_REPLY_BYTES + b"}")
    for _ in range(6):
        response = await three.ask()
        assert response.status == 400
        assert (await response.json())["error"]["code"] == "reply_too_large"
    assert three.agents["medium"].engine.bodies == []
    three.entry.engine.script = Script(text="four")
    assert (await three.ask()).headers["x-disrouter-path"] == "small", "its breaker is closed"
