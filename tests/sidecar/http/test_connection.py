"""One client's connection over a real socket: order, errors, deadlines, back-pressure and the end."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import tracemalloc
from dataclasses import dataclass, field

import pytest

from disrouter_sidecar.errors import ClientGone
from disrouter_sidecar.http.limits import Limits
from disrouter_sidecar.http.memory_limits import MemoryLimit
from disrouter_sidecar.http.ports import BodyListener, Client, Relay, Request
from disrouter_sidecar.http.server.router import Methods
from support.local import until
from support.raw_http import SECONDS, echo, listening, talk

POST = b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello"
LAST = b"POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello"
LAST_HEAD = b"GET /large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
CHUNKED = (
    b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nx: y\r\n\r\n"
)


@dataclass
class Source:
    """A reply of our own: pieces on demand, `ports.Reply` as far as an exchange uses it."""

    piece: bytes = b"x" * 65536
    pieces: int = 1000
    listener: BodyListener | None = None
    client: Client | None = None
    paused: bool = False
    closed: bool = False
    pauses: int = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    async def chunk(self, seconds: float) -> bytes:
        return b""

    def pipe(self, listener: BodyListener, idle: float, relay: Relay | None = None) -> None:
        self.listener = listener
        asyncio.get_running_loop().call_soon(self.push)

    def patience(self, seconds: float) -> None:
        pass

    def forget(self) -> None:
        pass

    def push(self) -> None:
        if self.closed or self.paused or self.listener is None:
            return
        self.pieces -= 1
        self.listener.feed(self.piece, self.pieces == 0)
        if self.pieces:
            asyncio.get_running_loop().call_soon(self.push)

    def pause(self) -> None:
        self.paused = True
        self.pauses += 1

    def resume(self) -> None:
        self.paused = False
        self.push()

    def close(self, *, ending: bool = False) -> None:
        self.closed = True

    def serve(self, _: Request, client: Client) -> None:
        self.client = client
        client.listener = self
        client.begin(200, "", b"first", self, 5.0)

    def relayed(self, failure: Exception | None) -> None:
        """`ports.ClientListener`: a failure leaves the body incomplete."""
        self.close()
        assert self.client is not None
        self.client.done()

    def left(self) -> None:
        """`ports.ClientListener`."""
        self.close()


@dataclass
class Waiting:
    """A handler that answers when told to."""

    started: int = 0
    cancelled: int = 0
    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, _: Request, client: Client) -> None:
        self.started += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        await client.reply(200, {}, b"done")


@pytest.mark.parametrize("size", [2, 1000])
async def test_a_body_in_tiny_chunks_holds_what_it_claims(size: int) -> None:
    """Else a client would hold many times what is counted for it: a piece of two bytes takes fifty by itself."""
    memory, total = MemoryLimit(1 << 30, "request"), 1 << 17
    chunks = (b"%x\r\n" % size + b"x" * size + b"\r\n") * (total // size)
    async with listening(limits=Limits(body=1 << 21), memory=memory) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        tracemalloc.start()
        writer.write(b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + chunks)
        await writer.drain()
        del chunks
        await until(lambda: memory.used >= total // size * size)
        await asyncio.sleep(0.1)
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert held < 2 * memory.used
        writer.write(b"0\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SECONDS)
        assert await asyncio.wait_for(reader.readexactly(total // size * size), SECONDS) == b"x" * (
            total // size * size
        )
        writer.close()


async def test_requests_sent_ahead_are_answered_in_order_whatever_the_cut() -> None:
    data = POST + CHUNKED + b"GET /echo HTTP/1.1\r\nhost: x\r\n\r\n" + LAST
    async with listening() as (_, port):
        whole = await talk(port, data)
        assert whole.count(b"HTTP/1.1 200 OK") == 4
        assert whole.count(b"hello") == 3
        assert whole.count(b"connection: close") == 1
        for step in (1, 7, 50):
            cut = await talk(port, *(data[start : start + step] for start in range(0, len(data), step)))
            assert cut.count(b"HTTP/1.1 200 OK") == 4
            assert cut.count(b"hello") == 3


async def test_far_too_many_requests_ahead_end_the_connection() -> None:
    waiting = Waiting()
    async with listening({"/wait": {"GET": waiting.serve}}, Limits(body=10, ahead=2, most_ahead=3)) as (_, port):
        talking = asyncio.create_task(talk(port, b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n" * 100))
        await until(lambda: waiting.started == 1)
        waiting.go.set()
        got = await talking
    assert got.count(b"HTTP/1.1 200 OK") == 4
    assert got.count(b"HTTP/1.1 429 ") == 1
    assert waiting.started == 4


async def test_requests_ahead_wait_unread_and_are_answered_in_the_end() -> None:
    waiting = Waiting()
    async with listening({"/wait": {"GET": waiting.serve}}, Limits(body=10, ahead=2)) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for sent in range(6):
            writer.write(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n")
            await writer.drain()
            await until(lambda: waiting.started == 1)
            await asyncio.sleep(0.01 if sent < 3 else 0)
        waiting.go.set()
        for _ in range(6):
            assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"done"), SECONDS)
        writer.close()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 2000\r\n\r\n", 413),
        (b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n800\r\n" + b"x" * 2048, 413),
        (b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello", 415),
        (b"POST /echo HTTP/1.1\r\nhost: x\r\nexpect: tea\r\ncontent-length: 5\r\n\r\n", 417),
        (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 414),
        (b"GET /echo HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 200 + b"\r\n", 431),
        (b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n", 404),
        (b"DELETE /echo HTTP/1.1\r\nhost: x\r\n\r\n", 405),
        (b"OPTIONS /echo HTTP/1.1\r\nhost: x\r\n\r\n", 405),
        (b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n", 404),
        (b"TRACE /echo HTTP/1.1\r\nhost: x\r\n\r\n", 405),
        (b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n", 405),
        (b"BREW /echo HTTP/1.1\r\nhost: x\r\n\r\n", 400),
        (b"GET /fails HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 500),
        (b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", 400),
    ],
)
async def test_what_is_refused_is_told_so_in_openais_shape_and_disconnected(
    data: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(_: Request, client: Client) -> None:
        raise RuntimeError

    async with listening({"/fails": {"GET": fails}}, Limits(body=1000)) as (_, port):
        got = await talk(port, data)
        assert got.startswith(b"HTTP/1.1 %d " % status)
        head, _, body = got.partition(b"\r\n\r\n")
        assert b"\r\nconnection: close" in head
        assert body.startswith(b'{"error":{"message":')
        assert (b"allow: POST, GET" in head) is (status == 405 and b"CONNECT" not in data)
        assert (await talk(port, LAST)).endswith(b"hello")


async def test_an_error_waits_for_the_answers_before_it() -> None:
    async with listening() as (_, port):
        got = await talk(port, POST + b"rubbish\r\n\r\n" + POST)
    assert got.index(b"200 OK") < got.index(b"400 Bad Request")
    assert got.count(b"hello") == 1


async def test_heads_count_as_memory_while_they_come_and_until_they_are_answered() -> None:
    waiting, memory = Waiting(), MemoryLimit(40_000, "request")
    half = b"GET /wait HTTP/1.1\r\nhost: x\r\ncookie: " + b"c" * 30_000
    async with listening({"/wait": {"GET": waiting.serve}}, memory=memory) as (listener, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(half[:20_000])
        await until(lambda: memory.used == 20_000)
        assert (await talk(port, half)).startswith(b"HTTP/1.1 503 "), "together they would be too much"
        writer.write(half[20_000:] + b"\r\n\r\n")
        await until(lambda: waiting.started == 1 and memory.used == len(half) + 4)
        assert (await talk(port, LAST)).endswith(b"hello"), "small heads are not counted"
        waiting.go.set()
        assert (await asyncio.wait_for(reader.readuntil(b"done"), SECONDS)).startswith(b"HTTP/1.1 200 ")
        await until(lambda: memory.used == 0)
        writer.write(half)
        await until(lambda: memory.used == len(half))
        writer.close()
        await until(lambda: listener.connections == 0)
        assert memory.used == 0


async def test_requests_that_wait_count_with_their_heads() -> None:
    waiting, memory = Waiting(), MemoryLimit(1 << 30, "request")
    one = b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n"
    async with listening({"/wait": {"GET": waiting.serve}}, memory=memory) as (_, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(one * 3)
        await until(lambda: waiting.started == 1)
        assert memory.used > 2 * len(one)
        writer.close()
        await until(lambda: memory.used == 0)


async def test_one_client_too_many_takes_the_place_of_an_idle_one() -> None:
    async with (
        listening(limits=Limits(body=1000, connections=3)) as (listener, port),
        contextlib.AsyncExitStack() as clients,
    ):
        idle = []
        for sent in (b"", b"GET /echo HTTP/1.1\r\nhos", POST):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            clients.callback(writer.close)
            writer.write(sent)
            idle.append(reader)
            await until(lambda: listener.connections == len(idle))
        await asyncio.wait_for(idle[2].readuntil(b"hello"), SECONDS)
        for index in range(3):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            clients.callback(writer.close)
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.wait_for(idle[index].read(), SECONDS) == b""
            assert listener.connections == 3
        assert (await talk(port, LAST)).endswith(b"hello")


async def test_too_many_busy_clients_are_told_so_and_probes_are_still_answered() -> None:
    waiting = Waiting()
    table: dict[str, Methods] = {"/v1/wait": {"GET": waiting.serve}}
    async with listening(table, Limits(body=1000, connections=2, excess=1)) as (listener, port):
        async with contextlib.AsyncExitStack() as clients:
            for _ in range(2):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                clients.callback(writer.close)
                writer.write(b"GET /v1/wait HTTP/1.1\r\nhost: x\r\n\r\n")
            await until(lambda: waiting.started == 2)
            got = await talk(port, b"GET /v1/wait HTTP/1.1\r\nhost: x\r\n\r\n")
            assert got.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nretry-after: " in got
            assert b"\r\nconnection: close\r\n" in got
            await until(lambda: listener.connections == 2)
            assert (await talk(port, LAST)).endswith(b"hello")
            await until(lambda: listener.connections == 2)
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            clients.callback(writer.close)
            writer.write(POST[:-1])
            await until(lambda: listener.connections == 3)
            await asyncio.sleep(0.05)
            with contextlib.suppress(ConnectionResetError):
                assert await talk(port, b"") == b""
            assert waiting.started == 2
        await until(lambda: listener.connections == 0)


async def test_a_refused_client_that_goes_on_sending_reads_why() -> None:
    async with listening(limits=Limits(body=1000)) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 3000000\r\n\r\n" + b"x" * 3_000_000)
        assert b"413 " in await asyncio.wait_for(reader.read(), SECONDS)
        writer.close()


async def test_head_gets_a_get_without_its_body() -> None:
    async with listening() as (_, port):
        got = await talk(port, b"HEAD /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello" + LAST)
    assert got.count(b"content-length: 5") == 2
    assert got.count(b"hello") == 1


async def test_http_1_0_gets_no_chunks_and_the_end_of_the_connection() -> None:
    source = Source(piece=b"piece", pieces=3)
    async with listening({"/stream": {"GET": source.serve}}) as (_, port):
        got = await talk(port, b"GET /stream HTTP/1.0\r\n\r\n")
        head, _, body = got.partition(b"\r\n\r\n")
        assert b"transfer-encoding" not in head
        assert body == b"first" + b"piece" * 3
        assert (await talk(port, b"POST /echo HTTP/1.0\r\ncontent-length: 5\r\n\r\nhello")).endswith(b"\r\n\r\nhello")


async def test_a_stream_comes_in_chunks() -> None:
    source = Source(piece=b"piece", pieces=2)
    async with listening({"/stream": {"GET": source.serve}}) as (_, port):
        got = await talk(port, b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n" + LAST)
    assert b"\r\n\r\n5\r\nfirst\r\n5\r\npiece\r\n5\r\npiece\r\n0\r\n\r\nHTTP/1.1 200 OK" in got
    assert got.endswith(b"hello")


async def test_a_body_is_asked_for_only_where_it_is_wanted() -> None:
    head = b"POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: %d\r\n\r\n"
    async with listening(limits=Limits(body=100)) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head % 5)
        interim = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SECONDS)
        assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hello")
        assert (await asyncio.wait_for(reader.read(), SECONDS)).endswith(b"hello")
        writer.close()
        assert (await talk(port, head % 500)).startswith(b"HTTP/1.1 413 ")


async def test_a_body_asked_for_waits_for_the_answer_before_it() -> None:
    waiting = Waiting()
    head = b"POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n"
    async with listening({"/wait": {"GET": waiting.serve}}) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n" + head)
        await until(lambda: waiting.started == 1)
        waiting.go.set()
        got = await asyncio.wait_for(reader.readuntil(b"100 Continue\r\n\r\n"), SECONDS)
        assert got.index(b"done") < got.index(b"100 Continue")
        writer.write(b"hello")
        assert (await asyncio.wait_for(reader.read(), SECONDS)).endswith(b"hello")
        writer.close()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", b""),
        (b"POST /echo HTT", b"HTTP/1.1 408 "),
        (POST[:-1], b"HTTP/1.1 408 "),
        (POST, b"HTTP/1.1 200 "),
    ],
    ids=["nothing", "half a head", "half a body", "no second request"],
)
async def test_a_client_that_stops_is_disconnected(data: bytes, expected: bytes) -> None:
    limits = Limits(body=1000, head_seconds=0.1, body_seconds=0.1, idle_seconds=0.1)
    memory = MemoryLimit(1000, "request")
    async with listening(limits=limits, memory=memory) as (listener, port):
        assert (await talk(port, data)).startswith(expected)
        await until(lambda: listener.connections == 0)
    assert memory.used == 0


async def test_a_head_that_trickles_is_not_waited_for() -> None:
    async with listening(limits=Limits(body=1000, head_seconds=0.2)) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def trickle() -> None:
            writer.write(b"GET /echo HTTP/1.1\r\n")
            while not reader.at_eof():
                writer.write(b"a: b\r\n")
                await asyncio.sleep(0.02)

        task = asyncio.create_task(trickle())
        assert (await asyncio.wait_for(reader.read(), SECONDS)).startswith(b"HTTP/1.1 408 ")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        writer.close()


async def test_a_request_that_is_not_read_on_is_not_late() -> None:
    """Its client has sent it: it waits in the socket until those ahead of it have been answered."""
    waiting, limits = Waiting(), Limits(body=10, ahead=2, head_seconds=0.2, body_seconds=0.2)
    one = b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n"
    for half in (LAST[:20], LAST[:-1]):
        waiting.go.clear()
        waiting.started = 0
        async with listening({"/wait": {"GET": waiting.serve}}, limits) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(one * 3 + half)
            await until(lambda: waiting.started == 1)
            writer.write(LAST[len(half) :])
            await asyncio.sleep(0.5)
            waiting.go.set()
            got = await asyncio.wait_for(reader.read(), SECONDS)
            assert re.findall(rb"HTTP/1.1 (\d+)", got) == [b"200"] * 4
            writer.close()


async def test_the_seconds_of_a_request_run_once_it_is_read_on() -> None:
    waiting, limits = Waiting(), Limits(body=10, ahead=2, head_seconds=0.2, body_seconds=0.2)
    waiting.go.set()
    async with listening({"/wait": {"GET": waiting.serve}}, limits) as (_, port):
        got = await talk(port, b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n" * 3 + LAST[:-1])
    assert re.findall(rb"HTTP/1.1 (\d+)", got) == [b"200"] * 3 + [b"408"]


async def test_a_client_that_leaves_ends_its_request_at_once_and_gives_its_memory_back() -> None:
    waiting, memory = Waiting(), MemoryLimit(1000, "request")
    async with listening({"/wait": {"POST": waiting.serve}}, memory=memory) as (listener, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST.replace(b"/echo", b"/wait") + POST + POST[:-1])
        await until(lambda: waiting.started == 1 and memory.used == 14)
        writer.close()
        await until(lambda: waiting.cancelled == 1 and listener.connections == 0)
        assert memory.used == 0


async def test_a_client_that_resets_in_mid_stream_ends_its_source() -> None:
    source = Source(pieces=1_000_000)
    async with listening({"/stream": {"GET": source.serve}}) as (listener, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b"first"), SECONDS)
        writer.transport.abort()
        await until(lambda: source.closed and listener.connections == 0)


async def test_a_client_that_does_not_read_stops_its_source_and_gets_everything_when_it_does() -> None:
    source = Source(pieces=400)
    async with listening({"/stream": {"GET": source.serve}}) as (_, port):
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", port))
            await loop.sock_sendall(client, b"GET /stream HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            await until(lambda: source.paused)
            assert source.pieces > 200, "what was read for nobody is bounded by the sockets' buffers"
            size = 0
            while data := await asyncio.wait_for(loop.sock_recv(client, 1 << 20), SECONDS):
                size += len(data)
    assert size > 400 * 65536
    assert source.pieces == 0
    assert source.pauses > 1


async def test_a_client_that_never_reads_again_is_disconnected() -> None:
    source = Source(pieces=1_000_000)
    limits = Limits(body=1000, stall_seconds=0.2)
    async with listening({"/stream": {"GET": source.serve}}, limits) as (listener, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n")
        await until(lambda: source.closed and listener.connections == 0)
        writer.close()


@pytest.mark.parametrize("request_head", [b"GET /large HTTP/1.1\r\nhost: x\r\n", LAST_HEAD])
async def test_a_client_that_leaves_the_rest_of_an_answer_unread_is_disconnected(request_head: bytes) -> None:
    """Also where the rest is too little to be told of as unread: closing politely would wait for it for ever."""

    async def large(_: Request, client: Client) -> None:
        await client.reply(200, {}, b"x" * (32 << 20))

    limits = Limits(body=1000, unread=1 << 30, idle_seconds=0.1, stall_seconds=0.1)
    async with listening({"/large": {"GET": large}}, limits) as (listener, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(request_head + b"\r\n")
        await until(lambda: listener.connections == 1)
        await until(lambda: listener.connections == 0)
        writer.close()


async def test_a_whole_reply_holds_its_request_until_the_client_has_read_it() -> None:
    memory = MemoryLimit(1 << 30, "request")

    async def large(_: Request, client: Client) -> None:
        await client.reply(200, {}, b"x" * (32 << 20))

    async with listening({"/large": {"POST": large}}, memory=memory) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(LAST.replace(b"/echo", b"/large"))
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SECONDS)
        assert memory.used == 5
        assert len(await asyncio.wait_for(reader.read(), SECONDS)) == 32 << 20
        await until(lambda: memory.used == 0)
        writer.close()


async def test_a_source_that_breaks_in_mid_stream_leaves_an_incomplete_reply() -> None:
    class Breaks(Source):
        def push(self) -> None:
            assert self.listener is not None
            self.listener.broke(RuntimeError("broke"))

    async with listening({"/stream": {"GET": Breaks().serve}}) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), SECONDS)
        writer.close()


async def test_nobody_is_answered_twice() -> None:
    errors: list[Exception] = []

    async def twice(request: Request, client: Client) -> None:
        await echo(request, client)
        try:
            await echo(request, client)
        except RuntimeError as error:
            errors.append(error)

    async with listening({"/twice": {"POST": twice}}) as (_, port):
        got = await talk(port, LAST.replace(b"/echo", b"/twice"))
    assert got.count(b"HTTP/1.1") == 1
    assert len(errors) == 1


async def test_a_header_cannot_bring_another_one() -> None:
    async def splits(_: Request, client: Client) -> None:
        with pytest.raises(ValueError, match="line break"):
            await client.reply(200, {"x": "a\r\nset-cookie: b"}, b"")

    async with listening({"/splits": {"GET": splits}}) as (_, port):
        assert b"set-cookie" not in await talk(port, b"GET /splits HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")


async def test_stopping_finishes_what_is_under_way_and_closes_the_rest() -> None:
    waiting = Waiting()
    async with listening({"/wait": {"GET": waiting.serve}}) as (listener, port):
        idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", port)
        busy_reader, busy_writer = await asyncio.open_connection("127.0.0.1", port)
        half_reader, half_writer = await asyncio.open_connection("127.0.0.1", port)
        busy_writer.write(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n")
        half_writer.write(POST[:-1])
        await until(lambda: waiting.started == 1 and listener.connections == 3)
        stopping = asyncio.create_task(listener.stop(SECONDS))
        assert await asyncio.wait_for(idle_reader.read(), SECONDS) == b""
        half_writer.write(POST[-1:])
        assert b"connection: close" in await asyncio.wait_for(half_reader.read(), SECONDS)
        waiting.go.set()
        got = await asyncio.wait_for(busy_reader.read(), SECONDS)
        assert got.endswith(b"done")
        assert b"connection: close" in got
        await asyncio.wait_for(stopping, SECONDS)
        for writer in (idle_writer, busy_writer, half_writer):
            writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_stopping_does_not_wait_for_ever() -> None:
    waiting = Waiting()
    async with listening({"/wait": {"GET": waiting.serve}}) as (listener, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n")
        await until(lambda: waiting.started == 1)
        await asyncio.wait_for(listener.stop(0.05), SECONDS)
        assert waiting.cancelled == 1
        writer.close()


async def test_a_stream_that_reads_nothing_does_not_hold_up_the_end() -> None:
    source = Source(pieces=1_000_000)
    async with listening({"/stream": {"GET": source.serve}}) as (listener, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n")
        await until(lambda: source.paused)
        await asyncio.wait_for(listener.stop(0.05), SECONDS)
        assert source.closed
        writer.close()


async def test_an_answer_to_nobody_says_so() -> None:
    started = asyncio.Event()
    gone: list[bool] = []

    async def stubborn(request: Request, client: Client) -> None:
        started.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            try:
                await echo(request, client)
            except ClientGone:
                gone.append(True)
            raise

    async with listening({"/stubborn": {"GET": stubborn}}) as (listener, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /stubborn HTTP/1.1\r\nhost: x\r\n\r\n")
        await asyncio.wait_for(started.wait(), SECONDS)
        writer.close()
        await until(lambda: listener.connections == 0)
        await until(lambda: gone)
    assert gone == [True]


async def test_new_clients_wait_for_few_turns_of_a_busy_loop() -> None:
    """One that hangs up at once costs a turn that others share: else some of them could keep all others out."""
    async with listening() as (listener, port):
        with contextlib.ExitStack() as clients:
            for _ in range(64):
                clients.enter_context(socket.create_connection(("127.0.0.1", port)))
            for _ in range(16):
                await asyncio.sleep(0)
            assert listener.connections == 64


async def test_a_client_that_reads_slowly_is_not_taken_for_one_that_reads_nothing() -> None:
    async def large(_: Request, client: Client) -> None:
        await client.reply(200, {}, b"x" * (16 << 20))

    async with listening({"/large": {"GET": large}}, Limits(body=1000, stall_seconds=0.2)) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=65536)
        writer.write(LAST_HEAD + b"\r\n")
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SECONDS)
        received = 0
        while piece := await asyncio.wait_for(reader.read(1 << 20), SECONDS):
            received += len(piece)
            await asyncio.sleep(0.03)
        assert received == 16 << 20
        writer.close()


@pytest.mark.parametrize("head", [b"", b"garbage\r\n", b"content-length: 2000000\r\n"])
async def test_what_is_refused_has_a_number_too(head: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with listening() as (_, port):
        reply = await talk(port, b"GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n" + head + b"\r\n")
    found = re.search(rb"x-request-id: ([0-9a-f]{32})\r\n", reply)
    assert found is not None
    told = [record for record in caplog.records if record.message == "refused"]
    assert [vars(record)["request_id"] for record in told] == [found[1].decode()]
