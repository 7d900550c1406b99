"""CPU of the sidecar itself: all of its own code, the sockets taken away.

    python -m bench.policy [--seconds 1] [--rounds 5] [--tracing] [--general-path] [--profile WORKLOAD]
    valgrind --tool=callgrind --callgrind-out-file=/dev/null python -m bench.policy --requests 1000 WORKLOAD

The client's and the agents' transports are stand-ins that move bytes at once, so what is left is what the sidecar does
in Python and in its libraries. It says where CPU goes while code is changed; docs/benchmarks.md has the real thing.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import uvloop

from disrouter.routes import AgentRoute, Awareness, RouteTable
from disrouter_sidecar.app.process import running
from disrouter_sidecar.config import Config
from disrouter_sidecar.http.server.connection import ClientConnection
from disrouter_sidecar.telemetry import logs
from disrouter_sidecar.telemetry.tracing import OFF, OpenTelemetry, Tracing

ENGINE, NEXT = 1, 2
"""Ports of the two agents that nobody listens on."""
_TOKEN = (
    b'data: {"id":"chatcmpl-0","object":"chat.completion.chunk","created":1760000000,"model":"engine",'
    b'"choices":[%b]}\n\n'
)
_DELTA = b'{"index":0,"delta":{"content":"%b"},"logprobs":null,"finish_reason":null,"token_ids":null}'
_WHOLE = (
    b'{"id":"chatcmpl-0","object":"chat.completion","created":1760000000,"model":"engine","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"%b","refusal":null,"annotations":null,"tool_calls":[]},"logprobs":null,'
    b'"finish_reason":"stop","stop_reason":null}],"usage":{"prompt_tokens":11,"total_tokens":12,"completion_tokens":1}}'
)
_HOP = b"x-disrouter-agent: b\r\nx-disrouter-path: a,b\r\nx-disrouter-hops: 1\r\nx-disrouter-scenario: balance\r\n"


def request(padding: int = 0, *, stream: bool = False) -> bytes:
    """What the benchmark's load generator sends."""
    text = (b"xxxxxxx " * (padding // 8 + 1))[:padding]
    body = (
        b'{"model":"pool","messages":[{"role":"user","content":"What is 2+2? %b"}],"max_tokens":1,"seed":0,'
        b'"temperature":0.7,"stream":%b}' % (text, b"true" if stream else b"false")
    )
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: OpenAI/Python 2.0.0\r\n"
        b"Accept: application/json\r\nContent-Type: application/json\r\nAuthorization: Bearer none\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )


def whole(text: bytes, head: bytes = b"") -> list[bytes]:
    """A whole reply, in one piece."""
    body = _WHOLE % text
    start = b"HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\nserver: uvicorn\r\n%b" % head
    return [start + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)]


def events(count: int) -> list[bytes]:
    """A streamed reply, a token a piece."""
    head = (
        b"HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\nserver: uvicorn\r\n"
        b"content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    tokens = [_TOKEN % (_DELTA % (b" @%d" % place)) for place in range(count)]
    pieces = [b"%x\r\n%b\r\n" % (len(token), token) for token in (_TOKEN % (_DELTA % b""), *tokens)]
    return [head + pieces[0], *pieces[1:-1], pieces[-1] + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"]


class Wire(asyncio.Transport):
    """A transport without a socket: what is written goes to `take` in the next turn of the loop."""

    def __init__(self, take: Callable[[bytes], None], protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.write = take  # type: ignore[method-assign,assignment]
        self._protocol = protocol

    def writelines(self, pieces: Any) -> None:
        self.write(b"".join(pieces))

    def is_closing(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def abort(self) -> None:
        asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)


class Loop(uvloop.Loop):
    """Connections lead to agents that say what they are told to, a piece in each turn."""

    replies: dict[int, list[bytes]]

    async def create_connection(self, factory: Any, _host: Any = None, port: Any = None, **_: Any) -> Any:  # type: ignore[override]
        protocol = factory()

        def push(pieces: list[bytes]) -> None:
            protocol.data_received(pieces[0])
            if len(pieces) > 1:
                self.call_soon(push, pieces[1:])

        def take(_data: bytes) -> None:
            self.call_soon(push, self.replies[port])

        transport = Wire(take, protocol)
        protocol.connection_made(transport)
        return transport, protocol


class BenchClient:
    """One client that asks again and again."""

    def __init__(self, connection: ClientConnection, ends: Callable[[bytes], bool]) -> None:
        self._connection = connection
        self._ends = ends
        self._answered: asyncio.Future[None] | None = None
        self._left = 0
        self._request = b""
        self._loop = asyncio.get_running_loop()

    def take(self, data: bytes) -> None:
        """Bytes of an answer."""
        if not self._ends(data):
            return
        assert data.startswith(b"HTTP/1.1 200") or data.endswith(b"0\r\n\r\n"), data
        self._left -= 1
        if self._left:
            self._loop.call_soon(self._connection.data_received, self._request)
        elif self._answered is not None:
            self._answered.set_result(None)

    async def ask(self, request: bytes, times: int) -> float:
        """CPU microseconds a request."""
        self._request, self._left, self._answered = request, times, self._loop.create_future()
        began = time.process_time()
        self._connection.data_received(request)
        await self._answered
        return (time.process_time() - began) / times * 1e6


Workload = tuple[bytes, dict[int, list[bytes]], Callable[[bytes], bool]]


def workloads() -> dict[str, Workload]:
    """By name: the request, what each agent replies, and how the end of an answer looks."""
    refusal, answer = whole(b"I don't know!"), whole(b" @00001")
    streamed = request(stream=True)

    def at_once(_: bytes) -> bool:
        return True

    def chunked(data: bytes) -> bool:
        return data.endswith(b"0\r\n\r\n")

    return {
        "tiny": (request(), {ENGINE: answer}, at_once),
        "stream": (streamed, {ENGINE: events(32)}, chunked),
        "refused": (request(), {ENGINE: refusal, NEXT: whole(b"4", _HOP)}, at_once),
        "100 KB": (request(100_000), {ENGINE: answer}, at_once),
    }


def measured(
    workload: Workload,
    work: Callable[[BenchClient, bytes], Coroutine[Any, Any, None]],
    tracing: Tracing = OFF,
    *,
    fast_path: bool = True,
) -> None:
    """Run `work` on one sidecar and one client of it."""
    request, replies, ends = workload

    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            routes = Path(folder) / "routes.json"
            routes.write_text(_table().to_json())
            engine = f"http://127.0.0.1:{ENGINE}"
            config = Config("pool", "a", engine, "engine", routes, host="127.0.0.1", fast_path=fast_path)
            async with running(config, tracing, _teller()) as (_, listener):
                connection = ClientConnection(listener.site, asyncio.get_running_loop())
                client = BenchClient(connection, ends)
                connection.connection_made(Wire(client.take, connection))
                await work(client, request)
                connection.connection_lost(None)

    loop = Loop()
    loop.replies = replies
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(run())


def _spans() -> Tracing:
    """Spans are made and gathered as in a pod, and sent nowhere."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Nowhere(SpanExporter):
        def export(self, spans: Sequence[object]) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    return OpenTelemetry(provider)


def _teller() -> logs.RequestLog:
    """Lines are made and written as in a pod, to nowhere."""
    return logs.LogWriter(Path("/dev/null").open("w"))


def _table() -> RouteTable:
    a = AgentRoute(url=f"http://127.0.0.1:{ENGINE}", cost=0.1, awareness=Awareness.TRAINED, next="b")
    b = AgentRoute(url=f"http://127.0.0.1:{NEXT}", cost=0.9, awareness=Awareness.NONE)
    return RouteTable(generation=1, cascade="pool", entrypoint="a", agents={"a": a, "b": b})


def main() -> int:
    """Print CPU per request; with --profile where it goes."""
    parser = argparse.ArgumentParser(prog="bench.policy", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.5, help="a round of one workload")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tracing", action="store_true", help="with OpenTelemetry's spans")
    parser.add_argument("--general-path", action="store_true", help="with DISROUTER_FAST_PATH=false")
    parser.add_argument("--profile", choices=workloads(), help="profile this workload alone")
    parser.add_argument("--requests", type=int, help="no clock: so many of one workload, for who counts instructions")
    parser.add_argument("workload", nargs="?", choices=workloads(), help="with --requests")
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    if arguments.requests is not None:

        async def asked(client: BenchClient, request: bytes) -> None:
            await client.ask(request, arguments.requests)

        measured(workloads()[arguments.workload or "tiny"], asked, fast_path=not arguments.general_path)
        return 0
    if arguments.profile:
        profiler = cProfile.Profile()

        async def profiled(client: BenchClient, request: bytes) -> None:
            await client.ask(request, 1000)
            profiler.enable()
            await client.ask(request, 20_000)
            profiler.disable()

        measured(workloads()[arguments.profile], profiled, fast_path=not arguments.general_path)
        profiler.create_stats()
        import pstats

        pstats.Stats(profiler).sort_stats("tottime").print_stats(90)
        return 0
    tracing = _spans() if arguments.tracing else OFF
    for name, workload in workloads().items():
        found: list[float] = []

        async def timed(client: BenchClient, request: bytes, found: list[float] = found) -> None:
            once = await client.ask(request, 200)
            times = max(200, int(arguments.seconds * 1e6 / once))
            for _ in range(arguments.rounds):
                found.append(await client.ask(request, times))  # noqa: PERF401  awaits

        measured(workload, timed, tracing, fast_path=not arguments.general_path)
        print(f"{name:8} {min(found):7.1f} us at best, {statistics.median(found):7.1f} us at the median", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
