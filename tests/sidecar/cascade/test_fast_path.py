"""The fast path and the general one are the same to everybody: to the client, the engine, the log and the metrics.

Two sidecars, one with the fast path and one without, get the same requests on one connection and the same replies from
their engines, all of them generated: fields, headers, cuts, statuses, media types, refusals, broken replies.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec import structs

from disrouter.routes import Breaker, Timeouts
from disrouter.terms import Awareness
from disrouter_sidecar.cascade.fast_path import entry, envelope, first_events, plain_chat, plan
from disrouter_sidecar.cascade.fast_path.first_events import FirstEvents, answers
from disrouter_sidecar.decision.stream import PLAIN as PLAIN_REPLY
from disrouter_sidecar.decision.stream import StreamDecider
from disrouter_sidecar.decision.verdict import REFUSE, UNDECIDED
from disrouter_sidecar.http.client.request import OutboundRequest
from disrouter_sidecar.openai import CHAT, query
from disrouter_sidecar.openai.usage import Usage
from support.local import until
from support.raw_http import HANG_UP
from support.two_paths import (
    DONE,
    LAST,
    PLAIN,
    Side,
    Turn,
    compare,
    count_calls,
    event,
    request,
    seen_of,
    side,
    streamed,
    turns,
    whole,
)

_EXAMPLES = 400
ODD_KIND = "application/json; charset=utf-8"
"""A media type that the fast path leaves to the general one."""


async def test_whatever_is_asked_and_replied(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "MOST_LUCK", 10**6)
    ends = [count_calls(monkeypatch, name) for name in ("_relay", "_commit", "_hand_over")]
    loop = asyncio.get_running_loop()
    async with side(folders[0], fast_path=True) as on, side(folders[1], fast_path=False) as off:

        @settings(max_examples=_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=st.lists(turns(), min_size=1, max_size=3))
        @example(case=[PLAIN, PLAIN])
        @example(case=[Turn((request(),), None)])
        @example(case=[Turn((request(stream=True),), (streamed([event({"content": "4"}), DONE]), LAST))])
        @example(case=[Turn((request(stream=True),), (streamed([event({"content": "4"})]), HANG_UP))])
        def run(case: list[Turn]) -> None:
            asyncio.run_coroutine_threadsafe(compare(on, off, case), loop).result(60)

        await asyncio.to_thread(run)
    assert all(len(calls) > _EXAMPLES // 12 for calls in ends), [*map(len, ends)]


async def test_an_agent_that_fails_most_requests_is_spared_the_detour(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    handed_over, relayed = (count_calls(monkeypatch, name) for name in ("_hand_over", "_relay"))
    failed = Turn((request(),), whole(""))
    async with side(folders[0], fast_path=True) as on:
        await on.connect()
        for turn in [PLAIN, PLAIN] + [failed] * (entry.MOST_LUCK + entry.TRIES):
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
    """The request is handed over when its reply is an odd one, and was admitted when it came."""
    said = "I don't know the year, but the place is Rome"
    events = [event({"content": said}), DONE]
    reply = (streamed(events, "Text/Event-Stream"), LAST) if streams else whole(said, kind=ODD_KIND)
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
        read, engine, _, counted, decided = await taken
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
        taken = asyncio.create_task(on.take(Turn((request(),), whole("Rome", kind=ODD_KIND))))
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
            assert [*map(seen_of, on.engine.requests)] == [*map(seen_of, off.engine.requests)]
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

    monkeypatch.setattr(plain_chat, "OutboundRequest", Seen)
    async with side(folders[0], fast_path=True) as on:
        service = on.small.service
        service.holder.current = structs.replace(service.table(), timeouts=Timeouts(first_byte=7, whole=20))
        await on.connect()
        for _ in range(3):
            await on.take(PLAIN)
        await on.take(Turn((request(stream=True),), (streamed([event({"content": "4"})], "Text/Event-Stream"), LAST)))
        await on.take(Turn((request(),), whole("Rome", kind=ODD_KIND)))
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


TOKENS = ["I", " don", "'t", " know", "!", " don\u2019t", " the year", "", "Rome", "\\", '"', "\n", "I don't know!"]
CHANGES: list[dict[str, Any]] = [
    *[{}] * 6, {"usage": None}, {"usage": {"completion_tokens": 9}}, {"choices": None}, {"created": 7},
    {"object": "error"},
]  # fmt: skip


@settings(max_examples=2000, deadline=None)
@given(
    pieces=st.lists(
        st.tuples(st.sampled_from(TOKENS), st.sampled_from([None] * 5 + ["stop", "length"]), st.sampled_from(CHANGES)),
        min_size=1,
        max_size=7,
    )
)
@example(pieces=[(token, None, {}) for token in ("", "I", " don", "'t", " know", "!")] + [("", "stop", {})])
@example(pieces=[("I don't know!", None, {"choices": None}), ("", "stop", {})])
def test_first_events_decide_as_the_parser_does(pieces: list[tuple[str, str | None, dict[str, Any]]]) -> None:
    seen, parser = FirstEvents(PLAIN_REPLY), StreamDecider(CHAT)
    for text, reason, changes in pieces:
        sent = event({"content": text}, reason, **changes)
        verdict, parsed = seen.feed(sent), parser.feed(sent)
        assert verdict in {parsed, UNDECIDED, None}
        if verdict is not UNDECIDED:
            assert verdict is not REFUSE or seen.usage == parser.usage
            break


def test_a_refusal_that_was_seen_before_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [event({"content": token}) for token in ("", "I", " don", "'t", " know", "!")]
    events = [event({"role": "assistant", "content": ""}), *events, event({"content": ""}, "stop")]
    for _ in range(2):
        seen = FirstEvents(PLAIN_REPLY)
        assert [seen.feed(each) for each in events][-1] is REFUSE
        assert seen.usage == Usage(completion_tokens=5, estimated=True)
        monkeypatch.setattr(first_events, "StreamDecider", None)


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
