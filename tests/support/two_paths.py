"""Two sidecars, one with the fast path and one without, and requests and replies of every kind to tell them apart by.

Each has a scripted engine, and on request a scripted sidecar as the next agent.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import strategies as st
from msgspec import structs

from disrouter.routes import Breaker
from disrouter_sidecar.cascade.fast_path.run import MAX_REPLY_BYTES, FastRun
from disrouter_sidecar.cascade.fast_path.stream import FastStream
from support.fake_engine import Script
from support.raw_http import HANG_UP, RawServer, raw_server
from support.sidecars import REFUSAL, Agent, cascade

SEEN = ("the client", "the engine", "the next agent", "the metrics", "the log")
_VARIES = re.compile(rb"(?i)^(date|host|x-request-id|x-disrouter-deadline): .*\r\n", re.MULTILINE)
_LENGTH = re.compile(rb"(?i)^content-length: .*\r\n", re.MULTILINE)
_TIMES = re.compile(rb'"(?:milliseconds|time|request_id)": ?"?[^,"}]+"?')


@dataclass(frozen=True)
class Turn:
    """A request in pieces, and what the engine and the next agent say to it; no reply closes the connection."""

    request: tuple[bytes, ...]
    reply: tuple[bytes, ...] | None
    behind: tuple[bytes, ...] | None = ()


@dataclass
class Side:
    """One of the two sidecars: what its client reads, what its engine is asked, what it counts and remembers."""

    small: Agent
    engine: RawServer
    behind: RawServer | None = None
    """The next agent, where that is no sidecar of ours."""
    counted: dict[str, float] = field(default_factory=dict)

    async def connect(self) -> None:
        """A new client."""
        address = urlsplit(self.small.url)
        self.reader, self.writer = await asyncio.open_connection(address.hostname, address.port)
        self.closed = False

    async def take(self, turn: Turn) -> tuple[Any, ...]:
        """All that is to be seen of a turn."""
        servers = [self.engine, *([self.behind] if self.behind else [])]
        asked = [len(server.requests) for server in servers]
        for server, reply in zip(servers, (turn.reply, turn.behind), strict=False):
            server.replies[:] = [reply, *([whole("late")] * 3)]
        for piece in turn.request:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0)
        try:
            read = await asyncio.wait_for(self._read(), 3)
        except TimeoutError:
            raise AssertionError(("timeout", self.seen, self.small.service.config.fast_path, turn)) from None
        told = [[*map(seen_of, server.requests[count:])] for server, count in zip(servers, asked, strict=True)]
        return read, told[0], told[1:], self.counted_since(), self._remembered()  # see SEEN

    async def _read(self) -> bytes:
        """One answer without what differs by the clock; up to where the connection ends."""
        read = b""
        try:
            read = head = await self.reader.readuntil(b"\r\n\r\n")
            if b"transfer-encoding: chunked" not in head:
                read += await self.reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            while b"transfer-encoding: chunked" in head and not read.endswith(b"\r\n0\r\n\r\n"):
                read += await self.reader.readuntil(b"\r\n")
                self.seen = read
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed = True
        return _TIMES.sub(b"", _VARIES.sub(b"", read))

    def counted_since(self) -> dict[str, float]:
        """What has been counted since the last time, but for seconds."""
        lines = self.small.service.metrics.render().decode().splitlines()
        now = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#") and "_seconds_" not in line)
        now |= dict(line.rsplit(" ", 1) for line in lines if "_seconds_count" in line)
        before, self.counted = self.counted, {name: float(value) for name, value in now.items()}
        return {name: value - before.get(name, 0) for name, value in self.counted.items() if value != before.get(name)}

    def _remembered(self) -> bytes:
        memory = self.small.service.decisions
        last = next(reversed(memory._line_of), "")
        return _TIMES.sub(b"", json.dumps(memory.find(last)).encode())

    def was_asked(self, times: int) -> bool:
        return len(self.engine.requests) >= times

    def settled(self) -> bool:
        service = self.small.service
        return service.metrics.inflight == 0 and service.request_memory.used == 0


def seen_of(request: bytes) -> tuple[bytes, Any]:
    """Its head and what its body says: a text is not written anew on one of the two sides."""
    head, _, body = _VARIES.sub(b"", request).partition(b"\r\n\r\n")
    try:
        said = json.loads(body)
    except ValueError:
        said = body
    return _LENGTH.sub(b"", head + b"\r\n"), said


def whole(
    text: str, status: int = 200, kind: str = "application/json", gap: str = "", **changes: Any
) -> tuple[bytes, ...]:
    """An engine's reply with a length."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 4}
    separators = f",{gap}", f":{gap}"
    body = json.dumps({"choices": [choice], "usage": usage, **changes}, separators=separators).encode()
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return (head.encode() + body,)


def request(headers: dict[str, str] | None = None, **fields: Any) -> bytes:
    """A client's request; a field that is None is left out."""
    asked = {"model": "qwen", "messages": [{"role": "user", "content": "2+2?"}], **fields}
    body = json.dumps({name: value for name, value in asked.items() if value is not None}).encode()
    lines = {"host": "a", "content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST /v1/chat/completions HTTP/1.1\r\n{head}\r\n".encode() + body


def event(delta: dict[str, Any], reason: str | None = None, **changes: Any) -> bytes:
    """One event of a stream, as vLLM writes it."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice], **changes}
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def streamed(events: list[bytes], kind: str = "text/event-stream; charset=utf-8") -> bytes:
    """An engine's reply in chunks, an event each."""
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in events if each)
    return b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n\r\n" % kind.encode() + chunks


DONE = b"data: [DONE]\n\n"
LAST = b"0\r\n\r\n"
PLAIN = Turn((request(),), whole("Rome"))
TEXTS = ["Rome", REFUSAL, "I don't know the year", "I", "", " \n4", "don", "&", "\u7f57", "x" * MAX_REPLY_BYTES, "<b>"]
PLAIN_FIELDS: list[dict[str, Any]] = [
    {"max_tokens": 1, "temperature": 0.5}, {"seed": 10**30}, {"user": "u"}, {"n": 1},
    {"messages": [{"role": "assistant"}]}, *[{"stream": True}] * 8, {"stream": True, "max_tokens": 3},
    {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
    {"messages": [{"content": "u", "role": "user"}]}, {"messages": [{"role": "user", "content": ""}]},
    {"messages": [{"role": "user", "content": 'say "\u7f57" \\\n\\"'}]},
    {"messages": [{"role": "user", "content": '"' * 99}]},
    {"messages": [{"role": "user", "content": "u"}, {"role": "system", "content": "a"}, {"role": "user"}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}, {"role": "user", "content": "v"}]},
    {"metadata": {"role": "user", "content": "no message"}, "messages": [{"role": "system", "content": "s"}]},
]  # fmt: skip
ODD_FIELDS: list[dict[str, Any]] = [
    {"n": 2}, {"n": "two"}, {"stop": "don't"}, {"stop": ["x"]}, {"stream": 1}, {"echo": True},
    {"model": "qwen/small"}, {"model": "qwen/large"}, {"model": "nobody"}, {"model": None}, {"messages": []},
    {"messages": [{"role": 1}]}, {"messages": None}, {"response_format": {"type": "json_object"}},
    {"disrouter": {"scenario": "cost-first"}}, {"disrouter": {"preference": 0.75}}, {"disrouter": 1},
    {"tools": [{"type": "function", "function": {"name": "f"}}]}, {"tool_choice": "required"},
    {"logit_bias": {"1": 100}},
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
]  # fmt: skip
fields = st.builds(lambda *each: {**each[0], **each[1]}, *[st.sampled_from([{}, *PLAIN_FIELDS, *ODD_FIELDS])] * 2)
headers: st.SearchStrategy[dict[str, str]] = st.dictionaries(
    st.sampled_from(["x-request-id", "x-disrouter-scenario", "x-disrouter-preference", "x-disrouter-path",
                     "x-disrouter-deadline", "origin", "traceparent", "authorization", "accept", "content-type"]),
    st.sampled_from(["abc", "http://page", "a b", "0.5", "7", "performance-first", "small", "60000",
                     "application/json", "Bearer x"]),
    max_size=2,
)  # fmt: skip


@st.composite
def turns(draw: st.DrawFn) -> Turn:
    """Mostly plain in one respect or the other."""
    if draw(st.integers(0, 2)) == 0:
        return Turn((request(stream=True),), draw(streams()))
    asked = request(draw(headers) if draw(st.booleans()) else {}, **(draw(fields) if draw(st.booleans()) else {}))
    return Turn(tuple(cut(draw, asked)), draw(streams() if b'"stream": true' in asked else replies()))


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, ...]:
    """What the engine says, an event after the other: as vLLM does, or oddly, or broken off."""
    text = draw(st.sampled_from([*TEXTS, *["Rome", " 4", "don't", "xylophone"] * 4]))
    cuts = [0, *sorted(draw(st.lists(st.integers(0, len(text)), max_size=3))), len(text)]
    odd = [b": comment\n\n", b"event: x\n", event({"reasoning_content": "hm"}), event({"tool_calls": [{"index": 0}]}),
           event({}, error={"message": "no"}), b'data: {"error":{"message":"no"}}\n\n', b"data: x\n\n",
           event({}, "length"), event({"content": None}), event({"content": ""}), event({"content": ""}, "stop"),
           DONE]  # fmt: skip
    events = [
        event({"role": "assistant", "content": ""}),
        *draw(st.lists(st.sampled_from(odd), max_size=draw(st.sampled_from([0, 0, 0, 2])))),
        *(event({"content": text[start:end]}) for start, end in pairwise(cuts)),
        *draw(
            st.sampled_from([[event({}, "stop"), DONE], [DONE], [event({"content": ""}, "stop", usage={"x": 1})], []])
        ),
    ]
    kind = draw(st.sampled_from(["text/event-stream; charset=utf-8"] * 3 + ["Text/Event-Stream", "application/json"]))
    data = streamed(events, kind)
    if draw(st.integers(0, 5)) == 0:
        return (*cut(draw, data[: draw(st.integers(1, len(data)))]), HANG_UP)
    return tuple(cut(draw, data + LAST))


@st.composite
def replies(draw: st.DrawFn) -> tuple[bytes, ...] | None:
    """What the engine says; whole, in pieces, in chunks, broken off, or nothing."""
    kind = draw(st.sampled_from(["application/json"] * 4 + ["application/json; charset=utf-8", "text/plain"]))
    status = draw(st.sampled_from([200] * 6 + [201, 400, 404, 429, 500, 503]))
    extra: dict[str, Any] = draw(
        st.sampled_from([{}, {}, {}, {"error": {"message": "no"}}, {"usage": None}, {"usage": {"x": 1}}])
    )
    (data,) = whole(draw(st.sampled_from(TEXTS)), status, kind, draw(st.sampled_from(["", "", " "])), **extra)
    odd = draw(st.sampled_from(["", "", "", "", "chunked", "retry-after: 7", "content-encoding: gzip", "cut", "none"]))
    if status == 429 and odd.startswith("retry"):
        odd = ""  # the agent would rest, and not to the same millisecond on both sides
    if odd == "none":
        return None
    if odd == "cut":
        data = data[:-3] + b"}}}"
    elif odd == "chunked":
        head, _, body = data.partition(b"\r\n\r\n")
        head = re.sub(rb"content-length: \d+", b"transfer-encoding: chunked", head)
        data = b"%b\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (head, len(body), body)
    elif odd:
        data = data.replace(b"\r\n", f"\r\n{odd}\r\n".encode(), 1)
    return tuple(cut(draw, data))


def cut(draw: st.DrawFn, data: bytes) -> list[bytes]:
    most = draw(st.sampled_from([0, 0, 0, 2]))
    cuts = [0, *sorted(draw(st.lists(st.integers(0, len(data)), max_size=most))), len(data)]
    return [data[start:end] for start, end in pairwise(cuts) if start < end]


@asynccontextmanager
async def side(directory: Path, *, behind: bool = False, **changes: Any) -> AsyncIterator[Side]:
    """A cascade whose sidecar of the agent called small is looked at, and a connection to it.

    With `behind` there is an agent before it and two come after it, of which the first is scripted.
    """
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(raw_server())
        only = {"small": {"engine_url": engine.url.removesuffix("/x")}}
        names = ("tiny", "small", "large", "last") if behind else ("small", "large")
        built = await stack.enter_async_context(cascade(directory, names, only, **changes))
        # Where queries enter: another agent ends each connection of a client.
        table = built.table(entrypoint="small", breaker=Breaker(failures=1000), cors_origins=["http://page"])
        server = await stack.enter_async_context(raw_server()) if behind else None
        if server is not None:
            large = structs.replace(table.agents["large"], url=server.url.removesuffix("/x"))
            table = structs.replace(table, agents={**table.agents, "large": large})
        built.publish(table)
        for name in names[names.index("small") + 1 :]:
            built.agents[name].engine.script = Script(text=f"from {name}")
        yield Side(built.agents["small"], engine, server)


def count_calls(monkeypatch: pytest.MonkeyPatch, name: str) -> list[None]:
    """One for each call of a method, on the side that is looked at."""
    calls: list[None] = []
    owner = FastStream if name == "_commit" else FastRun
    method = getattr(owner, name)

    def counted(run: FastRun, *arguments: Any, **named: Any) -> Any:
        if run._path.sidecar.dependencies.own == "small":
            calls.append(None)
        return method(run, *arguments, **named)

    monkeypatch.setattr(owner, name, counted)
    return calls


async def compare(on: Side, off: Side, case: Sequence[Turn]) -> None:
    """Whatever is to be seen of these turns, on one new connection, is the same on both sides."""
    for each in (on, off):
        await each.connect()
        each.counted_since()
    try:
        for turn in (PLAIN, PLAIN, *case, PLAIN):
            seen = await on.take(turn)
            for what, one, other in zip(SEEN, seen, await off.take(turn), strict=True):
                assert one == other, (what, turn)
            assert on.settled()
            assert on.closed == off.closed
            if on.closed:
                break
    finally:
        for each in (on, off):
            each.writer.close()
