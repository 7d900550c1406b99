"""The fast path and the general one are the same to everybody: to the client, the engine, the log and the metrics.

Two sidecars, one with the fast path and one without, get the same requests on one connection and the same replies from
their engines, all of them generated: fields, headers, cuts, statuses, media types, refusals, broken replies.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec import structs

from disrouter.routes import Breaker, Timeouts
from disrouter.terms import Awareness
from disrouter_sidecar.cascade.fast_path import entry, envelope, plan
from disrouter_sidecar.cascade.fast_path import run as fast_run
from disrouter_sidecar.cascade.fast_path.first_events import answers
from disrouter_sidecar.cascade.fast_path.run import MAX_REPLY_BYTES, FastRun
from disrouter_sidecar.cascade.fast_path.stream import FastStream
from disrouter_sidecar.http.client.request import OutboundRequest
from disrouter_sidecar.openai import query
from support.local import until
from support.raw_http import HANG_UP, RawServer, raw_server
from support.sidecars import REFUSAL, Agent, cascade

_EXAMPLES = 600
SEEN = ("the client", "the engine", "the metrics", "the log")
_VARIES = re.compile(rb"(?i)^(date|host|x-request-id|x-disrouter-deadline): .*\r\n", re.MULTILINE)
_LENGTH = re.compile(rb"(?i)^content-length: .*\r\n", re.MULTILINE)
_TIMES = re.compile(rb'"(?:milliseconds|time|request_id)": ?"?[^,"}]+"?')


@dataclass(frozen=True)
class Turn:
    """A request in pieces, and what the engine says to it; no reply closes its connection."""

    request: tuple[bytes, ...]
    reply: tuple[bytes, ...] | None


@dataclass
class Side:
    """One of the two sidecars: what its client reads, what its engine is asked, what it counts and remembers."""

    small: Agent
    engine: RawServer
    counted: dict[str, float] = field(default_factory=dict)

    async def connect(self) -> None:
        """A new client."""
        address = urlsplit(self.small.url)
        self.reader, self.writer = await asyncio.open_connection(address.hostname, address.port)
        self.closed = False

    async def take(self, turn: Turn) -> tuple[Any, ...]:
        """All that is to be seen of a turn."""
        asked = len(self.engine.requests)
        self.engine.replies[:] = [turn.reply, *([whole("late")] * 3)]
        for piece in turn.request:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0)
        try:
            read = await asyncio.wait_for(self._read(), 3)
        except TimeoutError:
            raise AssertionError(("timeout", self.seen, self.small.service.config.fast_path, turn)) from None
        engine = [_of_engine(request) for request in self.engine.requests[asked:]]
        return read, engine, self._counted(), self._remembered()  # see SEEN

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

    def _counted(self) -> dict[str, float]:
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


def _of_engine(request: bytes) -> tuple[bytes, Any]:
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
    return Turn(tuple(_cut(draw, asked)), draw(streams() if b'"stream": true' in asked else replies()))


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
        return (*_cut(draw, data[: draw(st.integers(1, len(data)))]), HANG_UP)
    return tuple(_cut(draw, data + LAST))


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
    return tuple(_cut(draw, data))


def _cut(draw: st.DrawFn, data: bytes) -> list[bytes]:
    most = draw(st.sampled_from([0, 0, 0, 2]))
    cuts = [0, *sorted(draw(st.lists(st.integers(0, len(data)), max_size=most))), len(data)]
    return [data[start:end] for start, end in pairwise(cuts) if start < end]


@asynccontextmanager
async def side(directory: Path, **changes: Any) -> AsyncIterator[Side]:
    """A cascade of two of which the first sidecar is looked at, and a connection to it."""
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(raw_server())
        only = {"small": {"engine_url": engine.url.removesuffix("/x")}}
        two = await stack.enter_async_context(cascade(directory, ("small", "large"), only, **changes))
        two.publish(two.table(breaker=Breaker(failures=1000), cors_origins=["http://page"]))
        two.scripts("unused", "from large")
        yield Side(two.entry, engine)


def count_calls(monkeypatch: pytest.MonkeyPatch, name: str) -> list[None]:
    """One for each call of a method."""
    calls: list[None] = []
    method = getattr(FastStream, name)

    def counted(*arguments: Any, **named: Any) -> Any:
        calls.append(None)
        return method(*arguments, **named)

    monkeypatch.setattr(FastStream if name == "_commit" else FastRun, name, counted)
    return calls


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Of the two sides."""
    both = tmp_path / "on", tmp_path / "off"
    for each in both:
        each.mkdir()
    return both


async def test_whatever_is_asked_and_replied(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "MOST_LUCK", 10**6)
    ends = [count_calls(monkeypatch, name) for name in ("_relay", "_commit", "_hand_over")]
    loop = asyncio.get_running_loop()
    async with side(folders[0], fast_path=True) as on, side(folders[1], fast_path=False) as off:

        async def both(case: list[Turn]) -> None:
            for each in (on, off):
                await each.connect()
                each._counted()
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

        @settings(max_examples=_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=st.lists(turns(), min_size=1, max_size=3))
        @example(case=[PLAIN, PLAIN])
        @example(case=[Turn((request(),), whole(REFUSAL))])
        @example(case=[Turn((request(),), None)])
        @example(case=[Turn((request(stream=True),), (streamed([event({"content": "4"}), DONE]), LAST))])
        @example(case=[Turn((request(stream=True),), (streamed([event({"content": "4"})]), HANG_UP))])
        def run(case: list[Turn]) -> None:
            asyncio.run_coroutine_threadsafe(both(case), loop).result(60)

        await asyncio.to_thread(run)
    assert all(len(calls) > _EXAMPLES // 12 for calls in ends), [*map(len, ends)]


async def test_an_agent_that_refuses_most_requests_is_spared_the_detour(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    handed_over, relayed = (count_calls(monkeypatch, name) for name in ("_hand_over", "_relay"))
    refused = Turn((request(),), whole(REFUSAL))
    async with side(folders[0], fast_path=True) as on:
        await on.connect()
        for turn in [PLAIN, PLAIN] + [refused] * (entry.MOST_LUCK + entry.TRIES):
            await on.take(turn)
        assert (len(relayed), len(handed_over)) == (0, entry.MOST_LUCK + 1), "and then one of so many is tried"
        for _ in range(entry.TRIES + 3):
            await on.take(PLAIN)
        assert len(relayed) == 4, "the next try was an answer, and so were those after it"
        on.writer.close()


def open_the_breaker(on: Side) -> None:
    table = on.small.service.table()
    on.small.service.neighbours.breakers.of("small", table).rest(on.small.service.clock(), 60)


def change_the_table(on: Side) -> None:
    """As if the agent were another one now, which is asked otherwise."""
    table = on.small.service.table()
    small = structs.replace(table.agents["small"], awareness=Awareness.PROMPTED, max_inflight=1)
    on.small.service.holder.current = structs.replace(table, agents={**table.agents, "small": small})


def learn_of_a_limit(on: Side) -> None:
    on.small.service.neighbours.abilities.learn((), 1)


@pytest.mark.parametrize("change", [open_the_breaker, change_the_table, learn_of_a_limit])
@pytest.mark.parametrize("streams", [False, True])
async def test_a_reply_counts_whatever_changes_while_it_is_under_way(
    folders: tuple[Path, Path], change: Callable[[Side], None], streams: bool
) -> None:
    """The request is handed over when its reply begins like a refusal, and was admitted when it came."""
    said = "I don't know the year, but the place is Rome"
    reply = (streamed([event({"content": said}), DONE]), LAST) if streams else whole(said)
    async with side(folders[0], fast_path=True) as on:
        await on.connect()
        for _ in range(3):
            await on.take(PLAIN)
        asked = len(on.engine.requests)
        on.engine.replying.clear()
        taken = asyncio.create_task(on.take(Turn((request(stream=True if streams else None),), reply)))
        await until(partial(on.was_asked, asked + 1))
        change(on)
        on.engine.replying.set()
        read, engine, counted, decided = await taken
        assert b"x-disrouter-agent: small\r\n" in read
        assert said.encode() in read
        assert len(engine) == 1
        assert not any("failover" in name for name in counted)
        assert b'"path": "small"' in decided
        on.writer.close()


def overhead(on: Side) -> float:
    """Seconds that the sidecar itself has taken until the engine was asked, of all requests together."""
    text = on.small.service.metrics.render().decode()
    return float(next(line for line in text.splitlines() if "overhead_seconds_sum" in line).rsplit(" ", 1)[1])


async def test_what_is_handed_over_is_counted_from_its_beginning(folders: tuple[Path, Path]) -> None:
    async with side(folders[0], fast_path=True) as on:
        await on.connect()
        for _ in range(3):
            await on.take(PLAIN)
        asked, before = len(on.engine.requests), overhead(on)
        on.engine.replying.clear()
        taken = asyncio.create_task(on.take(Turn((request(),), whole("I know"))))
        await until(partial(on.was_asked, asked + 1))
        await asyncio.sleep(0.2)
        on.engine.replying.set()
        await taken
        memory = on.small.service.decisions
        line = memory.find(next(reversed(memory._line_of)))
        assert line is not None
        assert line["milliseconds"] >= line["decisions"][0]["milliseconds"] >= 200
        assert 0 < overhead(on) - before < 0.2, "the time until the engine was asked, not until it replied"
        on.writer.close()


async def replies_to(both: Sequence[Side], asked: bytes, reply: tuple[bytes, ...]) -> bytes:
    """What both sides say to the client, which is the same."""
    seen = [(await each.take(Turn((asked,), reply)))[0] for each in both]
    assert seen[0] == seen[1]
    return bytes(seen[0])


async def test_a_text_that_is_no_json_is_the_clients_fault_there_too(folders: tuple[Path, Path]) -> None:
    """The engine says so first, which nobody hears of."""
    rejected = whole("", status=400, error={"message": "no JSON"})
    async with side(folders[0], fast_path=True) as on, side(folders[1], fast_path=False) as off:
        for each in (on, off):
            await each.connect()
        for text in ("a", "a", "a\n", "a\\x", "\ud800"):
            sent = text.encode("utf-8", "surrogatepass").ljust(4, b"x")
            asked = request(messages=[{"role": "user", "content": "MARK"}]).replace(b"MARK", sent)
            valid = text == "a"
            read = await replies_to((on, off), asked, whole("Rome") if valid else rejected)
            assert read.startswith(b"HTTP/1.1 200 " if valid else b"HTTP/1.1 400 ")
        assert on.settled()
        for each in (on, off):
            each.writer.close()


async def test_bodies_that_differ_in_their_text_alone_are_parsed_once(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[bytes] = []

    def parse(raw: bytes, *rest: Any) -> Any:
        parsed.append(raw)
        return query.parse(raw, *rest)

    plans: list[Any] = []

    def planned(*given: Any) -> Any:
        plans.append(plan.plan_of(*given))
        return plans[-1]

    monkeypatch.setattr(entry, "plan_of", planned)
    monkeypatch.setattr(envelope, "parse", parse)
    monkeypatch.setattr(entry, "MAX_ENVELOPES", 3)
    async with side(folders[0], fast_path=True) as on, side(folders[1], fast_path=False) as off:
        for each in (on, off):
            await each.connect()
        for number in range(12):
            text = json.dumps(f"{number} " + '"\u7f57\n' * number)
            messages = [{"role": "user", "content": json.loads(text)}]
            for temperature in (0.5, 1):
                await replies_to((on, off), request(messages=messages, temperature=temperature), whole("Rome"))
            assert [*map(_of_engine, on.engine.requests)] == [*map(_of_engine, off.engine.requests)]
        assert len(parsed) == 2
        for seed in range(8):
            await replies_to((on, off), request(seed=seed), whole("Rome"))
        assert 0 < len(plans[-1].envelopes) <= 3
        assert len(plans) > 2, "all were forgotten again and again"
        for each in (on, off):
            each.writer.close()


async def test_what_is_handed_over_keeps_the_bound_of_its_kind(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By which it would be asked again on another connection."""
    bounds: list[float] = []

    class Seen(OutboundRequest):
        def __init__(self, *given: Any) -> None:
            bounds.append(given[6])
            super().__init__(*given)

    monkeypatch.setattr(fast_run, "OutboundRequest", Seen)
    async with side(folders[0], fast_path=True) as on:
        service = on.small.service
        service.holder.current = structs.replace(service.table(), timeouts=Timeouts(first_byte=7, whole=20))
        await on.connect()
        for _ in range(3):
            await on.take(PLAIN)
        await on.take(Turn((request(stream=True),), (streamed([event({"content": "I know"}), DONE]), LAST)))
        await on.take(Turn((request(),), whole("I know")))
        on.writer.close()
    assert 0 < bounds[0] <= 7 < bounds[1] <= 20


async def test_streams_that_break_open_the_breaker_there_too(folders: tuple[Path, Path]) -> None:
    broken = (streamed([event({"content": "4"})]), HANG_UP)
    async with side(folders[0], fast_path=True) as on:
        service = on.small.service
        service.holder.current = structs.replace(service.table(), breaker=Breaker(failures=3))
        await on.connect()
        for _ in range(3):
            await on.take(PLAIN)
        for number in range(3):
            assert service.neighbours.breakers.open() == 0, number
            read, engine, *_ = await on.take(Turn((request(stream=True),), broken))
            assert b"upstream_failed" in read
            assert len(engine) == 1
        assert service.neighbours.breakers.open() == 1
        on.writer.close()


async def test_only_json_is_taken_from_whoever_is_known_too(folders: tuple[Path, Path]) -> None:
    async with side(folders[0], fast_path=True) as on:
        await on.connect()
        for _ in range(3):
            await on.take(PLAIN)
        for _ in range(4):
            read, engine, *_ = await on.take(Turn((request({"content-type": "text/plain"}),), whole("late")))
            assert read.startswith(b"HTTP/1.1 415 ")
            assert not engine
        on.writer.close()


async def test_a_body_beyond_the_limit_is_refused_there_too(folders: tuple[Path, Path]) -> None:
    large = request(messages=[{"role": "user", "content": "x" * 2048}])
    async with side(folders[0], fast_path=True, max_body_bytes=1024) as on:
        await on.connect()
        for _ in range(3):
            await on.take(PLAIN)
        assert (await on.take(Turn((large,), whole("late"))))[0].startswith(b"HTTP/1.1 413 ")
        on.writer.close()


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([{"role": "assistant", "content": ""}], False),
        ([{"role": "assistant", "content": ""}, {"content": " 4"}], True),
        ([{"content": "Rome"}], True),
        ([{"content": "I"}], None),
        ([{"content": "  "}], None),
        ([{"content": "a"}], None),
        ([{"reasoning_content": "hm"}], None),
        ([{"reasoning_details": [{"type": "t", "content": "Hmm"}]}], None),
        ([{"reasoning_details": [{"type": "t", "content": "Hmm"}], "content": "I don't know!"}], None),
        ([{"tool_calls": [{"function": {"content": "x"}}]}], None),
    ],
)
def test_first_events_are_seen_through_or_left_to_the_parser(
    events: list[dict[str, Any]], expected: bool | None
) -> None:
    assert answers(b"".join(map(event, events))) is expected


@pytest.mark.parametrize("end", [b'data: {"id":"1","choices":[{"delta":{"content":"  \n\n', b"data: x"])
def test_events_that_are_cut_are_left_to_the_parser(end: bytes) -> None:
    assert answers(event({"content": ""}) + end) is None


async def test_a_client_that_reads_nothing_and_leaves_is_not_served_again(folders: tuple[Path, Path]) -> None:
    """Its last answer waits for it to read; when it leaves, the engine's connection may serve somebody else."""
    async with side(folders[0], fast_path=True) as on:
        await on.connect()
        for _ in range(3):
            await on.take(PLAIN)
        asked = len(on.engine.requests)
        on.engine.replies[:] = [whole("x" * 16_000)] * 2000
        for number in range(1, 2000):
            on.writer.write(request())
            with suppress(AssertionError):
                await until(partial(on.was_asked, asked + number), 1)
            if not on.was_asked(asked + number):
                break
        assert 10 < number < 1999, "at some point its answers wait"
        on.writer.transport.abort()
        await until(on.settled)
        await on.connect()
        assert (await on.take(PLAIN))[0].startswith(b"HTTP/1.1 200 ")
        assert on.settled()
        on.writer.close()
