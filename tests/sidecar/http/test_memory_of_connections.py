"""A connection that has closed is gone, without the collector of cycles: many short ones hold nothing."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest

from disrouter_sidecar.http.client.connection import OutboundConnection
from disrouter_sidecar.http.client.upstream import HttpUpstream
from disrouter_sidecar.http.server.connection import ClientConnection
from support.local import until
from support.raw_http import SECONDS, listening, raw_server, talk

LAST = b"POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello"
SIZED = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello"


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def alive(kind: type[asyncio.Protocol]) -> int:
    return sum(type(found) is kind for found in gc.get_objects())  # isinstance would wake lazy objects of others


@pytest.mark.usefixtures("uncollected")
async def test_clients_connections_leave_nothing_behind() -> None:
    async with listening() as (listener, port):
        for data in (LAST, b"rubbish\r\n\r\n", LAST):
            assert await talk(port, data)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(LAST[:-1])
        await until(lambda: listener.connections == 1)
        writer.close()
        await until(lambda: listener.connections == 0)
        await until(lambda: alive(ClientConnection) == 0)


@pytest.mark.usefixtures("uncollected")
async def test_connections_to_agents_leave_nothing_behind() -> None:
    async with raw_server([SIZED], [SIZED[:-1]]) as server, HttpUpstream() as upstream:
        for size in (5, 4):
            reply = await upstream.ask(server.url, b"{}", {}, connect=SECONDS, head=SECONDS)
            assert len(await reply.chunk(SECONDS)) == size
            reply.close()
            del reply
        await until(lambda: upstream.pool.size == 0)
        await until(lambda: alive(OutboundConnection) == 0)
