"""Services as forwarders: no connection is refused or cut while backends come and go."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from disrouter_local.node.node import ENTRY_PATIENCE
from disrouter_local.node.proxy import Forwarder, Proxy, Route
from disrouter_local.ports import CONTAINER_PORTS, PortPool, ServicePorts
from support.local import until

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def ports() -> PortPool:
    return PortPool(CONTAINER_PORTS)


@pytest.fixture
async def forwarder(ports: PortPool) -> AsyncIterator[tuple[Forwarder, int]]:
    made, port = Forwarder(), ports.lease("forwarder")
    await made.listen(port)
    yield made, port
    await made.close()


async def serve(port: int, handler: Serve) -> asyncio.Server:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await handler(reader, writer)
        writer.close()

    return await asyncio.start_server(handle, "127.0.0.1", port)


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read to the end, then answer in upper case: needs half-close."""
    writer.write((await reader.read(-1)).upper())
    await writer.drain()


async def exchange(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    writer.write_eof()
    answer = await reader.read(-1)
    writer.close()
    return answer


async def test_a_half_closed_request_still_gets_its_answer(forwarder: tuple[Forwarder, int], ports: PortPool) -> None:
    made, port = forwarder
    backend = ports.lease("backend")
    async with await serve(backend, shout):
        made.update([backend], 0)
        assert await exchange(port, b"hello" * 100_000) == b"HELLO" * 100_000


async def test_no_request_is_lost_while_the_backend_is_replaced(
    forwarder: tuple[Forwarder, int], ports: PortPool
) -> None:
    made, port = forwarder
    answered = 0
    ending = asyncio.Event()

    async def ask_all_the_time() -> None:
        nonlocal answered
        while not ending.is_set():
            assert await exchange(port, b"hello") == b"HELLO"
            answered += 1

    clients = [asyncio.create_task(ask_all_the_time()) for _ in range(4)]
    for index in range(4):
        backend = ports.lease(f"backend {index}")
        server = await serve(backend, shout)
        enough = answered + 10
        made.update([backend], ENTRY_PATIENCE)
        await until(partial(_reached, lambda: answered, enough))
        made.update([], ENTRY_PATIENCE)
        await asyncio.sleep(0.02)
        server.close()
        await asyncio.sleep(0.05)
    final = ports.lease("last")
    async with await serve(final, shout):
        made.update([final], ENTRY_PATIENCE)
        ending.set()
        await asyncio.gather(*clients)


def _reached(count: Callable[[], int], enough: int) -> bool:
    return count() > enough


async def test_a_backend_that_refuses_is_passed_over(forwarder: tuple[Forwarder, int], ports: PortPool) -> None:
    made, port = forwarder
    dead, backend = ports.lease("dead"), ports.lease("backend")
    async with await serve(backend, shout):
        made.update([dead, backend], 0)
        assert [await exchange(port, b"a") for _ in range(4)] == [b"A"] * 4


async def test_connections_take_turns_among_backends(forwarder: tuple[Forwarder, int], ports: PortPool) -> None:
    made, port = forwarder
    first, second = ports.lease("first"), ports.lease("second")

    def name(text: bytes) -> Serve:
        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(text)

        return answer

    async with await serve(first, name(b"1")), await serve(second, name(b"2")):
        made.update([first, second], 0)
        assert sorted([await exchange(port, b"") for _ in range(4)]) == [b"1", b"1", b"2", b"2"]


async def test_without_a_backend_the_connection_closes_after_the_patience(forwarder: tuple[Forwarder, int]) -> None:
    made, port = forwarder
    made.update([], 0.2)
    began = time.monotonic()
    assert await exchange(port, b"hello") == b""
    assert 0.15 < time.monotonic() - began < ENTRY_PATIENCE / 2


async def test_a_slow_reader_holds_the_sender_back(forwarder: tuple[Forwarder, int], ports: PortPool) -> None:
    made, port = forwarder
    backend, sent = ports.lease("backend"), 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        for _ in range(2000):
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    async with await serve(backend, pour):
        made.update([backend], 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=65536)
        await asyncio.sleep(0.5)
        held = sent
        assert held < 40_000_000
        total = 0
        while data := await reader.read(1 << 20):
            total += len(data)
        assert total == 2000 * 65536
        writer.close()


async def test_a_broken_backend_is_not_taken_for_the_end(forwarder: tuple[Forwarder, int], ports: PortPool) -> None:
    made, port = forwarder
    backend = ports.lease("backend")

    async def break_off(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"half")
        await writer.drain()
        await asyncio.sleep(0.05)
        linger_not_at_all = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_not_at_all)
        writer.transport.abort()

    async with await serve(backend, break_off):
        made.update([backend], 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with pytest.raises(ConnectionResetError):
            await reader.read(-1)
        writer.close()


async def test_forwarders_follow_the_services(ports: PortPool) -> None:
    proxy, port, backend = Proxy(), ports.lease("service"), ports.lease("backend")
    async with await serve(backend, shout):
        await proxy.sync({"default/a": Route(port, (backend,), 0)})
        assert await exchange(port, b"a") == b"A"
        await proxy.sync({})
        with pytest.raises(ConnectionRefusedError):
            await exchange(port, b"a")
    await proxy.close()


def test_a_services_port_survives_a_restart(tmp_path: Path) -> None:
    first = ServicePorts(tmp_path / "ports.json")
    taken = {first.port("a", "default"), first.port("b", "default")}
    assert len(taken) == 2
    again = ServicePorts(tmp_path / "ports.json")
    assert {again.port("a", "default"), again.port("b", "default")} == taken
    assert again.url("a", "default") == f"http://127.0.0.1:{again.port('a', 'default')}"


def test_ports_are_leased_once_and_given_back() -> None:
    pool = PortPool(range(20000, 20002), free=lambda _: True)
    assert {pool.lease("a"), pool.lease("a")} == {20000, 20001}
    with pytest.raises(Exception, match="no free port in 20000-20001"):
        pool.lease("b")
    pool.release(20001)
    assert pool.lease("b") == 20001
