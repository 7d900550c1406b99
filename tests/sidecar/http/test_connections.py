"""Connections that misbehave on either side disturb nobody else."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import pytest

from support.fake_engine import stream_of, whole_of
from support.sidecars import Cascade

BODY = json.dumps({"model": "qwen", "messages": [{"role": "user", "content": "x"}]}).encode()
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
REQUEST = HEAD % len(BODY) + BODY


async def connect(three: Cascade) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(three.entry.url)
    return await asyncio.open_connection(parts.hostname, parts.port)


async def test_requests_sent_ahead_on_one_connection_are_answered_in_order(three: Cascade) -> None:
    reader, writer = await connect(three)
    stream = BODY.replace(b"{", b'{"stream": true, ', 1)
    last = REQUEST.replace(b"\r\nhost", b"\r\nconnection: close\r\nhost", 1)
    writer.write(HEAD % len(stream) + stream + REQUEST + last)
    got = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    replies = got.split(b"HTTP/1.1 200 OK")[1:]
    assert len(replies) == 3
    assert all(piece in replies[0] for piece in stream_of("four"))
    assert replies[1].endswith(whole_of("four"))
    assert replies[2].endswith(whole_of("four"))


async def test_a_request_that_arrives_byte_by_byte_is_served(three: Cascade) -> None:
    reader, writer = await connect(three)
    for byte in REQUEST:
        writer.write(bytes([byte]))
        await writer.drain()
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    writer.close()
    assert head.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
        b"GET\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
    ids=["TLS", "no version", "negative length", "bad chunk", "long line"],
)
async def test_what_is_not_http_is_refused_at_once(three: Cascade, garbage: bytes) -> None:
    reader, writer = await connect(three)
    writer.write(garbage)
    got = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    assert got.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    assert (await three.ask()).status == 200


async def test_clients_that_stop_half_way_hold_nobody_up(three: Cascade) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(50):
            _, writer = await connect(three)
            stack.callback(writer.close)
            writer.write(REQUEST[:-10])
        async with asyncio.timeout(2):
            assert (await three.ask()).status == 200
    assert len(three.entry.engine.bodies) == 1, "only the whole request reached the engine"


async def test_a_pooled_connection_that_the_engine_has_closed_costs_no_answer(three: Cascade) -> None:
    """The engine drops every connection at its second request, without a word, as one that restarts does."""
    answers = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answers
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        reply = whole_of("four")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(reply))
        writer.write(reply)
        answers += 1
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        service = three.entry.service
        service.dependencies.engine.use(dataclasses.replace(service.config, engine_url=f"http://127.0.0.1:{port}"))
        for _ in range(3):
            assert await three.said(await three.ask()) == ("small", "four")
        assert answers == 3
