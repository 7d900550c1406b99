"""A refusal is passed on by the fast path as by the general one, and so is what other sidecars ask.

The engine and the next agent are scripted; the agent is the entrypoint of one request and stands in the middle of the
chain for another.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec import structs

from disrouter.routes import Timeouts
from disrouter_sidecar.cascade.fast_path import entry
from disrouter_sidecar.cascade.fast_path.hop import Hop
from support.local import until
from support.raw_http import HANG_UP
from support.sidecars import REFUSAL
from support.two_paths import (
    DONE,
    LAST,
    PLAIN,
    Side,
    Turn,
    compare,
    count_calls,
    cut,
    event,
    request,
    side,
    streamed,
    whole,
)

_EXAMPLES = 500
HOP = {"x-disrouter-path": "tiny", "x-disrouter-deadline": "590000"}
ANSWERED = {"x-disrouter-agent": "large", "x-disrouter-path": "small,large", "x-disrouter-hops": "1"}
REFUSED = '[{"agent":"large","prompt_tokens":9}]'
ODD_RECORDS = '[{"agent":"large","x":"\\u65e5","prompt_tokens":9,"y":%s}]' % ("[" * 300 + "]" * 300)
"""Which could be read, but not be written into a header again."""
DECIDED = '[{"agent":"large","decision":"refuse","cost":0.5},{"agent":"last","decision":"answer","cost":0.9}]'
TRIED = {"x-disrouter-path": "small,large,last"}


def with_headers(reply: tuple[bytes, ...], headers: dict[str, str]) -> tuple[bytes, ...]:
    """A reply whose head has these too."""
    added = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
    return (reply[0].replace(b"\r\n", b"\r\n" + added, 1), *reply[1:])


def streamed_reply(text: str) -> tuple[bytes, ...]:
    return (streamed([event({"role": "assistant", "content": ""}), event({"content": text}), DONE]), LAST)


def refusals(draw: st.DrawFn, *, stream: bool) -> tuple[bytes, ...]:
    """What the engine says."""
    text = draw(st.sampled_from([REFUSAL] * 5 + ["I don\u2019t know.", "I do", "Rome"]))
    if not stream:
        usage: dict[str, Any] = draw(st.sampled_from([{}, {}, {"usage": None}, {"usage": {"prompt_tokens": 1}}]))
        return whole(text, **usage)
    pieces = [text[place : place + 4] for place in range(0, len(text), 4)]
    ends: list[bytes] = draw(st.sampled_from([[event({"content": ""}, "stop")], [event({}, "stop")], []]))
    events = [
        event({"role": "assistant", "content": ""}),
        *(event({"content": piece}) for piece in pieces),
        *ends,
        DONE,
    ]
    return tuple(cut(draw, streamed(events) + LAST))


@st.composite
def turns(draw: st.DrawFn) -> Turn:
    """One that the engine mostly refuses, and what the next agent's sidecar says to it."""
    stream = draw(st.booleans())
    deadline = draw(st.sampled_from(["590000"] * 4 + ["20", "100000", "x"]))
    hop = draw(st.sampled_from([{}, {**HOP, "x-disrouter-deadline": deadline}]))
    scenario = draw(st.sampled_from([{}, {}, {"x-disrouter-scenario": "cost-first"}]))
    asked = request({**hop, **scenario}, stream=True if stream else None, max_tokens=draw(st.sampled_from([None, 5])))
    extra = draw(st.sampled_from([
        *[ANSWERED] * 4, {}, {**ANSWERED, "x-disrouter-refused-usage": REFUSED},
        {**ANSWERED, "x-disrouter-decisions": DECIDED}, {**ANSWERED, "x-disrouter-refused-usage": ODD_RECORDS},
        {**ANSWERED, "x-disrouter-decisions": ODD_RECORDS}, {**ANSWERED, "x-disrouter-scenario": "balance"},
        {**ANSWERED, "retry-after": "7"}, {**ANSWERED, "content-encoding": "gzip"}, {**ANSWERED, "x-other": "1"},
    ]))  # fmt: skip
    status = draw(st.sampled_from([200] * 8 + [400, 500, 503]))
    good = streamed_reply("Rome") if stream and draw(st.integers(0, 4)) else whole("Rome", status)
    odd: list[Any] = [None, (HANG_UP,), with_headers(whole("none", 503), TRIED), (whole("Rome")[0][:-9], HANG_UP)]
    behind = draw(st.sampled_from([*[with_headers(good, extra)] * 8, *odd]))
    if behind is not None and HANG_UP not in behind:
        behind = tuple(cut(draw, b"".join(behind)))
    return Turn((asked,), refusals(draw, stream=stream), behind)


PASSED_ON = Turn((request(),), whole(REFUSAL), with_headers(whole("Rome"), ANSWERED))
STREAMED = Turn((request(stream=True),), streamed_reply(REFUSAL), with_headers(streamed_reply("Rome"), ANSWERED))
BETWEEN = Turn((request(HOP),), whole(REFUSAL), with_headers(whole("Rome"), ANSWERED))


async def settled(on: Side) -> None:
    await until(on.settled)
    on.writer.close()


async def ready(on: Side, turn: Turn) -> None:
    """Each connection that it needs waits, and a head like that of this turn was met."""
    await on.connect()
    for each in (PLAIN, PASSED_ON, turn, turn):
        await on.take(each)


async def test_an_error_of_ours_behind_a_refusal_is_told_to_the_client(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: Any) -> str:
        raise RuntimeError("a bug")

    for turn in (PASSED_ON, STREAMED):
        async with side(folders[0], behind=True, fast_path=True) as on:
            await ready(on, turn)
            with monkeypatch.context() as patch:
                patch.setattr(Hop, "answered", breaks)
                read, *_ = await on.take(turn)
            assert read.startswith(b"HTTP/1.1 500 ")
            assert b"internal_error" in read
            await settled(on)


async def test_a_middle_agent_passes_whole_refusals_on_too(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the deadline that came along is all that ends the wait for the agents behind it."""
    async with side(folders[0], behind=True, fast_path=True) as on:
        await ready(on, BETWEEN)
        handed_over = count_calls(monkeypatch, "_hand_over")
        read, *_ = await on.take(BETWEEN)
        assert b"Rome" in read
        assert not handed_over
        await settled(on)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_while_the_next_agent_is_asked_is_counted_once(
    folders: tuple[Path, Path], stream: bool
) -> None:
    async with side(folders[0], behind=True, fast_path=True) as on:
        await ready(on, STREAMED if stream else PASSED_ON)
        assert on.behind is not None
        on.counted_since()
        asked = len(on.behind.requests)
        on.behind.replying.clear()
        on.engine.replies[:] = [streamed_reply(REFUSAL) if stream else whole(REFUSAL)]
        on.writer.write(request(stream=True if stream else None))
        await until(lambda: len(on.behind.requests) > asked if on.behind else False)
        on.writer.transport.abort()
        await until(on.settled)
        on.behind.replying.set()
        counted = on.counted_since()
        gone = {name: value for name, value in counted.items() if name.startswith("disrouter_requests_total")}
        assert [*gone.values()] == [1], gone
        assert "client_gone" in next(iter(gone))
        refused = [value for name, value in counted.items() if 'decision="refuse"' in name and "seconds" not in name]
        assert refused == [1]


async def test_a_wait_that_the_deadline_ends_is_no_failure_of_the_next_agent(folders: tuple[Path, Path]) -> None:
    turn = Turn(
        (request({**HOP, "x-disrouter-deadline": "1500"}),), whole(REFUSAL), with_headers(whole("late"), ANSWERED)
    )
    async with side(folders[0], behind=True, fast_path=True) as on:
        service = on.small.service
        service.holder.current = structs.replace(
            service.table(), timeouts=Timeouts(first_byte=0.3, whole=0.8, idle=0.2)
        )
        await ready(on, BETWEEN)
        assert on.behind is not None
        on.behind.replying.clear()
        await on.take(turn)
        on.behind.replying.set()
        breaker = service.neighbours.breakers.of("large", service.table())
        assert breaker.failures == 0
        await settled(on)


async def test_whatever_is_refused_and_what_the_next_agent_says(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry, "MOST_LUCK", 10**6)
    ends = [count_calls(monkeypatch, name) for name in ("_passes_on", "_relay", "_commit", "_hand_over")]
    answered: list[str] = []
    counts = Hop.answered

    def count(hop: Hop, reply: Any) -> str:
        answered.append(reply.headers["content-type"])
        return counts(hop, reply)

    monkeypatch.setattr(Hop, "answered", count)
    loop = asyncio.get_running_loop()
    async with (
        side(folders[0], behind=True, fast_path=True) as on,
        side(folders[1], behind=True, fast_path=False) as off,
    ):

        @settings(max_examples=_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=st.lists(turns(), min_size=1, max_size=3))
        @example(case=[PASSED_ON, PASSED_ON])
        @example(case=[STREAMED, STREAMED])
        @example(case=[BETWEEN, BETWEEN, Turn((request({**HOP, "x-disrouter-path": "tiny,small"}),), whole("Rome"))])
        @example(
            case=[Turn((request(HOP),), whole("Rome")), Turn((request({**HOP}, stream=True),), streamed_reply("4"))]
        )
        def run(case: list[Turn]) -> None:
            asyncio.run_coroutine_threadsafe(compare(on, off, case), loop).result(60)

        await asyncio.to_thread(run)
    kinds = [sum(kind.startswith(each) for kind in answered) for each in ("application/json", "text/event-stream")]
    assert all(count > _EXAMPLES // 25 for count in (*map(len, ends), *kinds)), ([*map(len, ends)], kinds)
