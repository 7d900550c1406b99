"""Asking an agent over a real socket: framing, reuse, retry, bounds, deadlines and back-pressure."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field

import pytest

from disrouter_sidecar.errors import Reason, UpstreamFailed
from disrouter_sidecar.http.client.reply import UNREAD_BYTES, OutboundReply
from disrouter_sidecar.http.client.upstream import HttpUpstream
from support.local import until
from support.raw_http import SECONDS, RawServer, raw_server

SIZED = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x=1\r\nhel\r\n2\r\nlo\r\n0\r\nx: y\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
STALL = b""
"""A script's piece that lets the loop turn."""


def bytewise(data: bytes) -> list[bytes]:
    return [data[index : index + 1] for index in range(len(data))]


async def ask(upstream: HttpUpstream, server: RawServer, seconds: float = SECONDS) -> OutboundReply:
    return await upstream.ask(server.url, b"{}", {"x-request-id": "1"}, connect=SECONDS, head=seconds)


async def read(reply: OutboundReply) -> bytes:
    body = b""
    while piece := await reply.chunk(SECONDS):
        body += piece
    reply.close()
    return body


@dataclass
class Tape:
    """A sink that remembers."""

    pieces: list[bytes] = field(default_factory=list)
    failure: Exception | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def feed(self, piece: bytes, end: bool) -> None:
        self.pieces.append(piece)
        if end:
            self.done.set()

    def broke(self, failure: Exception) -> None:
        self.failure = failure
        self.done.set()

    async def wait(self) -> bytes:
        await asyncio.wait_for(self.done.wait(), SECONDS)
        return b"".join(self.pieces)


async def test_the_request_is_what_was_given_and_no_more() -> None:
    async with raw_server([SIZED]) as server, HttpUpstream() as upstream:
        assert await read(await ask(upstream, server)) == b"hello"
    lines = server.requests[0].split(b"\r\n")
    assert lines[0] == b"POST /x HTTP/1.1"
    assert set(lines[1:-2]) == {
        b"host: 127.0.0.1:%d" % server.port,
        b"user-agent: disrouter",
        b"accept-encoding: identity",
        b"x-request-id: 1",
        b"content-length: 2",
    }
    assert lines[-1] == b"{}"


async def test_replies_of_every_framing_share_one_connection_however_they_are_cut() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n"
    replies = [[SIZED], bytewise(SIZED), [CHUNKED], bytewise(CHUNKED), bytewise(interim + CHUNKED), [SIZED]]
    async with raw_server(*replies) as server, HttpUpstream() as upstream:
        for _ in replies:
            assert await read(await ask(upstream, server)) == b"hello"
        assert server.connections == 1


@pytest.mark.parametrize("piped", [False, True])
async def test_a_body_may_end_with_its_connection(piped: bool) -> None:
    closed = b"HTTP/1.1 200 OK\r\n\r\nhello"
    async with raw_server([closed], [SIZED], close_after=True) as server, HttpUpstream() as upstream:
        reply = await ask(upstream, server)
        tape = Tape()
        if piped:
            reply.pipe(tape, SECONDS)
        assert (await tape.wait() if piped else await read(reply)) == b"hello"
        assert await read(await ask(upstream, server)) == b"hello"
        assert server.connections == 2


@pytest.mark.parametrize(
    "last",
    [SIZED.replace(b"\r\n", b"\r\nconnection: close\r\n", 1), SIZED + b"surplus", SIZED.replace(b"1.1", b"1.0")],
    ids=["close", "surplus", "HTTP/1.0"],
)
async def test_a_connection_that_is_not_to_be_trusted_is_not_used_again(last: bytes) -> None:
    async with raw_server([last], [SIZED]) as server, HttpUpstream() as upstream:
        assert await read(await ask(upstream, server)) == b"hello"
        assert await read(await ask(upstream, server)) == b"hello"
        assert server.connections == 2


async def test_a_word_that_nobody_asked_for_ends_an_idle_connection() -> None:
    async with raw_server([SIZED, STALL, STALL, b"more"], [SIZED]) as server, HttpUpstream() as upstream:
        assert await read(await ask(upstream, server)) == b"hello"
        await until(lambda: upstream.pool.size == 0)
        assert await read(await ask(upstream, server)) == b"hello"
        assert server.connections == 2


async def test_a_pooled_connection_that_closes_before_a_byte_of_the_reply_is_replaced_once() -> None:
    async with raw_server([SIZED], None, [SIZED]) as server, HttpUpstream() as upstream:
        await read(await ask(upstream, server))
        assert await read(await ask(upstream, server)) == b"hello"
        assert server.connections == 2
    async with raw_server([SIZED], None, None, [SIZED]) as server, HttpUpstream() as upstream:
        await read(await ask(upstream, server))
        with pytest.raises(UpstreamFailed) as caught:
            await ask(upstream, server)
        assert caught.value.reason is Reason.CONNECT
        assert len(server.requests) == 3, "sent again once, not for ever"


@pytest.mark.parametrize("size", [200 << 10, 16 << 20], ids=["in the system's buffers", "in our own"])
async def test_a_connection_with_unsent_bytes_of_its_request_is_not_used_again(size: int) -> None:
    """An agent may refuse a request by its head and read no further: the next request would wait behind the rest."""
    connections, done = 0, asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        await done.wait()
        writer.transport.abort()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0, limit=1024)
    async with server, HttpUpstream() as upstream:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        for body in (b"x" * size, b"{}"):
            reply = await upstream.ask(url, body, {}, connect=SECONDS, head=5.0)
            assert (reply.status, await read(reply)) == (413, b"no")
        assert connections == 2
        done.set()


async def test_a_request_is_not_sent_twice_that_was_long_under_way() -> None:
    """Whoever got it may have worked on it: an engine would answer it twice, a provider charge for both."""
    requests = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        while await reader.readuntil(b"{}"):
            requests += 1
            if requests == 2:
                await asyncio.sleep(0.5)
                break
            writer.write(SIZED)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, HttpUpstream() as upstream:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        await read(await upstream.ask(url, b"{}", {}, connect=SECONDS, head=SECONDS))
        with pytest.raises(UpstreamFailed) as caught:
            await upstream.ask(url, b"{}", {}, connect=SECONDS, head=SECONDS)
        assert caught.value.reason is Reason.CONNECT
        assert requests == 2


async def test_a_request_is_not_sent_again_once_a_byte_of_its_reply_has_come() -> None:
    async with raw_server([SIZED], [b"HTTP/1.1 "], close_after=False) as server, HttpUpstream() as upstream:
        await read(await ask(upstream, server))
        server.close_after = True
        with pytest.raises(UpstreamFailed):
            await ask(upstream, server)
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000,
    ],
)
async def test_what_is_no_head_fails_the_attempt(data: bytes) -> None:
    async with raw_server([data], close_after=True) as server, HttpUpstream() as upstream:
        with pytest.raises(UpstreamFailed) as caught:
            await ask(upstream, server)
        assert caught.value.reason is Reason.CONNECT
        await until(lambda: upstream.pool.size == 0)


@pytest.mark.parametrize("piped", [False, True])
@pytest.mark.parametrize("rest", [b"2\r\nlo", b"zz\r\n"], ids=["closed half-way", "not a chunk"])
async def test_a_body_that_breaks_gives_what_came_and_then_fails(rest: bytes, piped: bool) -> None:
    async with (
        raw_server([HEAD + b"3\r\nhel\r\n", STALL, rest], close_after=True) as server,
        HttpUpstream() as upstream,
    ):
        reply = await ask(upstream, server)
        tape = Tape()
        if piped:
            reply.pipe(tape, SECONDS)
            got = await tape.wait()
            assert isinstance(tape.failure, UpstreamFailed)
        else:
            got = await reply.chunk(SECONDS)
            with pytest.raises(UpstreamFailed):
                await read(reply)
        assert got.startswith(b"hel")
        reply.close()


async def test_every_wait_has_its_deadline() -> None:
    async with raw_server([], [HEAD], [HEAD + b"1\r\nx\r\n"]) as server, HttpUpstream() as upstream:
        with pytest.raises(UpstreamFailed, match="no reply within") as caught:
            await ask(upstream, server, 0.05)
        assert caught.value.reason is Reason.TIMEOUT
        await asyncio.wait_for(server.hung_up.wait(), SECONDS)
        reply = await ask(upstream, server)
        with pytest.raises(UpstreamFailed, match="silent for"):
            await reply.chunk(0.05)
        tape = Tape()
        (await ask(upstream, server)).pipe(tape, 0.05)
        assert await tape.wait() == b"x"
        assert isinstance(tape.failure, UpstreamFailed)
        assert tape.failure.reason is Reason.TIMEOUT


async def test_nobody_there_a_name_that_is_none_and_no_address() -> None:
    async with HttpUpstream() as upstream:
        for url, reason in (
            ("http://127.0.0.1:9/x", Reason.REFUSED),
            ("http://no.such.host.invalid/x", Reason.CONNECT),
            ("ftp://127.0.0.1/x", Reason.CONNECT),
        ):
            with pytest.raises(UpstreamFailed) as caught:
                await upstream.ask(url, b"", {}, connect=SECONDS, head=SECONDS)
            assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("rest", "kept"),
    [([END], True), ([b"5\r\nhello\r\n", STALL, END], True), ([b"5000\r\n" + b"x" * 0x5000], False), ([], False)],
    ids=["at once", "a chunk later", "much more", "nothing"],
)
async def test_an_unwanted_rest_that_is_short_is_read_to_keep_the_connection(rest: list[bytes], kept: bool) -> None:
    async with raw_server([HEAD + b"3\r\nhel\r\n", STALL, *rest], [SIZED]) as server, HttpUpstream() as upstream:
        reply = await ask(upstream, server)
        assert await reply.chunk(SECONDS) == b"hel"
        reply.close(ending=True)
        if not kept:
            await asyncio.wait_for(server.hung_up.wait(), SECONDS)
        else:
            await until(lambda: upstream.pool.idle == 1)
        assert await read(await ask(upstream, server)) == b"hello"
        assert server.connections == (1 if kept else 2)


async def test_a_reply_that_is_closed_early_hangs_up_at_once() -> None:
    async with raw_server([HEAD + b"3\r\nhel\r\n"]) as server, HttpUpstream() as upstream:
        reply = await ask(upstream, server)
        await reply.chunk(SECONDS)
        reply.close()
        reply.close()
        await asyncio.wait_for(server.hung_up.wait(), SECONDS)


async def test_giving_up_while_waiting_hangs_up_at_once() -> None:
    async with raw_server([]) as server, HttpUpstream() as upstream:
        asking = asyncio.create_task(ask(upstream, server))
        await until(lambda: server.requests)
        asking.cancel()
        await asyncio.wait_for(server.hung_up.wait(), SECONDS)
        assert upstream.pool.size == 0


@pytest.mark.parametrize("piped", [False, True])
async def test_what_nobody_takes_is_not_read(piped: bool) -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"{}")
        writer.write(HEAD)
        while sent < 500:
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()
            sent += 1
        writer.write(END)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    async with server, HttpUpstream() as upstream:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        reply = await upstream.ask(url, b"{}", {}, connect=SECONDS, head=SECONDS)
        tape = Tape()
        if piped:
            reply.pipe(tape, SECONDS)
            reply.pause()
        await until(lambda: sent > 20)
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.1)
        assert sent < 500
        assert UNREAD_BYTES < 200 * 65536
        if piped:
            reply.resume()
            assert len(await tape.wait()) == 500 * 65536
        else:
            assert len(await read(reply)) == 500 * 65536


async def test_an_idle_connection_grows_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("disrouter_sidecar.http.client.connection.KEEP_ALIVE_SECONDS", 0.05)
    async with raw_server([SIZED]) as server, HttpUpstream() as upstream:
        await read(await ask(upstream, server))
        await asyncio.wait_for(server.hung_up.wait(), SECONDS)
        await until(lambda: upstream.pool.size == 0)


async def test_health_is_a_get_that_says_200() -> None:
    async with raw_server([SIZED], [SIZED.replace(b"200", b"503")]) as server, HttpUpstream() as upstream:
        assert await upstream.healthy(server.url, SECONDS) is True
        assert await upstream.healthy(server.url, SECONDS) is False
        assert server.requests[0].startswith(b"GET /x HTTP/1.1\r\n")
        assert server.connections == 1
        assert await upstream.healthy("http://127.0.0.1:9/", SECONDS) is False


async def test_a_server_without_tls_is_not_spoken_to_in_the_clear() -> None:
    async with raw_server([SIZED]) as server, HttpUpstream(ssl.create_default_context()) as upstream:
        with pytest.raises(UpstreamFailed):
            await upstream.ask(server.url.replace("http:", "https:"), b"", {}, connect=0.2, head=SECONDS)
        assert server.requests == []
