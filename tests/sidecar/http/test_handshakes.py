"""TLS handshakes are bounded, in number and in time, whatever strangers do."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

import pytest
import trustme

from disrouter_sidecar.http.limits import Limits
from disrouter_sidecar.http.memory_limits import MemoryLimit
from disrouter_sidecar.http.server.listener import Listener
from disrouter_sidecar.http.server.router import Routes
from support.local import until

AUTHORITY = trustme.CA()


@pytest.fixture
def server() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture
def client() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


async def test_a_client_that_says_nothing_is_not_waited_for(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    limits = Limits(body=10, handshake_seconds=0.2)
    async with Listener(Routes({}), limits, MemoryLimit(10, "request"), lambda _: False, server) as listener:
        port = await listener.start("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()


async def test_silent_clients_are_bounded_and_give_way_to_one_that_speaks(
    server: ssl.SSLContext, client: ssl.SSLContext
) -> None:
    limits = Limits(body=10, handshakes=3)
    async with Listener(Routes({}), limits, MemoryLimit(10, "request"), lambda _: False, server) as listener:
        port = await listener.start("127.0.0.1", 0)
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(8)]
        await until(lambda: sum(reader.at_eof() for reader, _ in silent) == 5)
        assert [reader.at_eof() for reader, _ in silent] == [True] * 5 + [False] * 3
        for _ in range(4):
            reader, writer = await asyncio.open_connection("localhost", port, ssl=client)
            writer.write(b"GET /nothing HTTP/1.1\r\nhost: a\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 404 ")
            writer.close()
        await until(lambda: listener.connections == 0)
        await asyncio.wait_for(listener.stop(60), 10)
        assert listener.handshakes is not None
        assert not len(listener.handshakes)
        for _, writer in silent:
            writer.close()


async def test_what_comes_in_one_read_with_the_end_of_the_handshake_is_not_lost(
    server: ssl.SSLContext, client: ssl.SSLContext
) -> None:
    """TLS 1.3: the client may send its request behind its last word of the handshake."""
    request = b"GET /nothing HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    async with Listener(Routes({}), Limits(body=10), MemoryLimit(10, "request"), lambda _: False, server) as door:
        port = await door.start("127.0.0.1", 0)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        secured = client.wrap_bio(incoming, outgoing, server_hostname="localhost")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while True:
            try:
                secured.do_handshake()
                break
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                incoming.write(await reader.read(65536))
        secured.write(request)
        writer.write(outgoing.read())
        answer = b""
        while b"404" not in answer:
            incoming.write(await asyncio.wait_for(reader.read(65536), 10))
            with contextlib.suppress(ssl.SSLWantReadError):
                answer += secured.read(65536)
        writer.close()
