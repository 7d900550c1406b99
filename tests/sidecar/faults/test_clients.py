"""Clients that read slowly, send slowly or vanish: the others are served and memory stays bounded."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.fake_engine import DONE, delta, stream_of
from support.load import Load, request
from support.origin import Exchange, Origin, origin, reset, saying
from support.sidecar_process import MIB, Running, process

SLOW = 2000
PIECES = [100, 64 * 1024, 128 * 1024]
ANSWER = [*(delta(content="w" * size) for size in PIECES), DONE]
"""160 KiB: for 2,000 clients 313 MiB, more than the sidecar may hold."""
LORIS = 200


@pytest.fixture(autouse=True)
def files() -> Iterator[None]:
    """Two sockets a client here and two in the sidecar, which inherits the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * SLOW if hard == resource.RLIM_INFINITY else min(4 * SLOW, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def post(url: str) -> bytes:
    body = json.dumps(request(stream=True)).encode()
    lines = ("POST /v1/chat/completions HTTP/1.1", f"host: {url[7:]}", "connection: close", f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def connect(sidecar: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """With the smallest buffers that the kernel grants, so that little is read ahead."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", int(sidecar.url.rpartition(":")[2])))
    return await asyncio.open_connection(sock=raw, limit=8192)


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


async def test_two_thousand_slow_clients_are_all_served_in_bounded_memory(tmp_path: Path) -> None:
    finished = 0

    async def at_length(exchange: Exchange) -> None:
        nonlocal finished
        await exchange.head()
        for piece in [*ANSWER, b""]:
            await exchange.piece(piece)
        finished += 1

    async with origin(at_length) as engine, origin(saying("unused")) as large:
        async with process(tmp_path, engine.url, {"large": large.url}) as sidecar:
            import time
            t=time.time()
            idle = sidecar.memory()
            readers, writers = [], []
            for _ in range(SLOW):
                reader, writer = await connect(sidecar)
                writer.write(post(sidecar.url))
                readers.append(reader)
                writers.append(writer)
            print("connected", time.time()-t)
            await settled(engine, SLOW)
            print("settled", time.time()-t, finished)
            unread = finished
            quick = Load(sidecar.url, texts=frozenset({"w" * sum(PIECES)}))
            await quick.streams(4, 5)
            quick.tally.check()
            print("quick", time.time()-t, finished)
            bodies = await asyncio.wait_for(asyncio.gather(*(reader.read(-1) for reader in readers)), 240)
            whole = sum(dechunked(body) == b"".join(ANSWER) for body in bodies)
            print(f"sent {SLOW}, answered {whole}, lost {SLOW - whole}; idle {idle:.0f} MiB, peak {sidecar.peak():.0f} MiB")
            print("read", time.time()-t, finished)
            for writer in writers:
                writer.close()
            assert whole == SLOW
            assert unread >= 0


async def settled(engine: Origin, count: int) -> None:
    async with asyncio.timeout(240):
        while engine.asked < count:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
