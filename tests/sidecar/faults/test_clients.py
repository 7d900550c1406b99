"""Clients that read slowly, send slowly or vanish: the others are served and memory stays bounded."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from support.fake_engine import DONE, delta
from support.load import Load, Tally, request
from support.origin import Exchange, Origin, origin, reset, saying
from support.sidecar_process import MIB, Running, process

SLOW, LORIS, VANISHING = 2000, 200, 200
PIECES = (100, 64 * 1024, 128 * 1024)
ANSWER = [*(delta(content="w" * size) for size in PIECES), DONE]
"""192 KiB: 375 MiB for all slow clients together."""
Socket = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(autouse=True)
def files() -> Iterator[None]:
    """Two sockets a client here and two in the sidecar, which inherits the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * SLOW if hard == resource.RLIM_INFINITY else min(4 * SLOW, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def connect(sidecar: Running) -> Socket:
    """With small buffers, so that little is read ahead."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", int(sidecar.url.rpartition(":")[2])))
    return await asyncio.open_connection(sock=raw, limit=8192)


async def ask(sidecar: Running) -> Socket:
    """A request whose answer nobody reads yet."""
    reader, writer = await connect(sidecar)
    body = json.dumps(request(stream=True)).encode()
    host = sidecar.url.removeprefix("http://")
    head = ("POST /v1/chat/completions HTTP/1.1", f"host: {host}", "connection: close", f"content-length: {len(body)}")
    writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
    return reader, writer


def dechunked(reply: bytes) -> bytes:
    """The body of a chunked reply that came to its end; nothing of one that did not."""
    _, _, rest = reply.partition(b"\r\n\r\n")
    body = bytearray()
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        body += rest[:length]
        if length == 0:
            return bytes(body) if rest == b"\r\n" else b""
        rest = rest[length + 2 :]
    return b""


async def at_length(exchange: Exchange) -> None:
    await exchange.head()
    for piece in [*ANSWER, b""]:
        await exchange.piece(piece)


async def endlessly(exchange: Exchange) -> None:
    await exchange.head()
    while True:
        await exchange.piece(delta(content="word "))
        await asyncio.sleep(0.1)


@asynccontextmanager
async def alone(folder: Path, engine: Origin) -> AsyncIterator[Running]:
    """A sidecar whose engine always answers."""
    async with origin(saying("unused")) as large, process(folder, engine.url, {"large": large.url}) as sidecar:
        yield sidecar


async def test_two_thousand_slow_clients_are_served_in_bounded_memory_and_hinder_nobody(tmp_path: Path) -> None:
    async with origin(at_length) as engine, alone(tmp_path, engine) as sidecar:
        idle, slow = sidecar.memory(), Tally()
        arrived = asyncio.create_task(engine.asked_again(SLOW))
        clients = [await ask(sidecar) for _ in range(SLOW)]
        slow.sent = len(clients)
        await arrived
        quick = Load(sidecar.url, texts=frozenset({"w" * sum(PIECES)}))
        await quick.streams(4, 5)
        quick.tally.check()
        assert quick.tally.answered == 20
        for reply in await asyncio.wait_for(asyncio.gather(*(reader.read(-1) for reader, _ in clients)), 240):
            if dechunked(reply) == b"".join(ANSWER):
                slow.answered += 1
            else:
                slow.lost.append(f"{len(reply)} bytes: {reply[:80]!r}")
        for _, writer in clients:
            writer.close()
        slow.check()
        print(f"idle {idle:.0f} MiB, peak {sidecar.peak():.0f} MiB")
        assert slow.answered == SLOW
        assert sidecar.peak() - idle < SLOW * 72 * 1024 / MIB, "64 KiB and little more wait for each"


async def test_clients_that_never_finish_their_request_are_turned_out_and_hinder_nobody(tmp_path: Path) -> None:
    """Slow lorises: a byte now and then, for ever; some in the head, some in the body."""

    async def drip(number: int) -> bytes:
        reader, writer = await connect(sidecar)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n")
        if number % 8 == 0:
            writer.write(b"x-slow: ")
        told = asyncio.create_task(reader.read(-1))
        while not told.done():
            writer.write(b"s")
            await asyncio.wait([told], timeout=0.5)
        reset(writer)
        try:
            return told.result()
        except ConnectionError:
            return b"reset"

    async with origin(saying("four")) as engine, alone(tmp_path, engine) as sidecar:
        lorises = asyncio.gather(*(drip(number) for number in range(LORIS)))
        load = Load(sidecar.url)
        await load.clients(8, until=lambda number: number >= 20)
        load.tally.check()
        assert load.tally.answered == 160
        ends = await asyncio.wait_for(lorises, 120)
        assert {end[:12] for end in ends} <= {b"HTTP/1.1 408", b"HTTP/1.1 400", b"reset"}
        assert engine.asked == load.tally.sent


async def test_clients_that_vanish_end_what_was_done_for_them(tmp_path: Path) -> None:
    """Reset in mid-stream by the client: every generation is cancelled, nothing stays open."""
    async with origin(endlessly) as engine, alone(tmp_path, engine) as sidecar:
        clients = [await ask(sidecar) for _ in range(VANISHING)]
        for reader, _ in clients:
            await asyncio.wait_for(reader.readuntil(b"word "), 120)
        for _, writer in clients:
            reset(writer)
        async with asyncio.timeout(120):
            while engine.gone < VANISHING:  # noqa: ASYNC110  it counts requests, nobody waits for it
                await asyncio.sleep(0.05)
        async with aiohttp.ClientSession() as http, http.get(f"{sidecar.url}/metrics") as response:
            lines = (await response.text()).splitlines()
        assert [line.split()[-1] for line in lines if line.startswith("disrouter_inflight_requests{")] == ["0.0"]
