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

from disrouter_sidecar.cascade.fast_path import entry
from support.raw_http import HANG_UP
from support.sidecars import REFUSAL
from support.two_paths import (
    DONE,
    LAST,
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

_EXAMPLES = 300
HOP = {"x-disrouter-path": "tiny", "x-disrouter-deadline": "590000"}
ANSWERED = {"x-disrouter-agent": "large", "x-disrouter-path": "small,large", "x-disrouter-hops": "1"}
REFUSED = '[{"agent":"large","prompt_tokens":9}]'
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
    events = [event({"role": "assistant", "content": ""}), *(event({"content": piece}) for piece in pieces), DONE]
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
        {**ANSWERED, "x-disrouter-decisions": DECIDED}, {**ANSWERED, "x-disrouter-scenario": "balance"},
        {**ANSWERED, "retry-after": "7"}, {**ANSWERED, "content-encoding": "gzip"}, {**ANSWERED, "x-other": "1"},
    ]))  # fmt: skip
    status = draw(st.sampled_from([200] * 8 + [400, 500, 503]))
    good = streamed_reply("Rome") if stream and draw(st.integers(0, 4)) else whole("Rome", status)
    odd: list[Any] = [None, (HANG_UP,), with_headers(whole("none", 503), TRIED), (whole("Rome")[0][:-9], HANG_UP)]
    behind = draw(st.sampled_from([*[with_headers(good, extra)] * 8, *odd]))
    if behind is not None and HANG_UP not in behind:
        behind = tuple(cut(draw, b"".join(behind)))
    return Turn((asked,), refusals(draw, stream=stream), behind)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Of the two sides."""
    both = tmp_path / "on", tmp_path / "off"
    for each in both:
        each.mkdir()
    return both


PASSED_ON = Turn((request(),), whole(REFUSAL), with_headers(whole("Rome"), ANSWERED))
STREAMED = Turn((request(stream=True),), streamed_reply(REFUSAL), with_headers(streamed_reply("Rome"), ANSWERED))
BETWEEN = Turn((request(HOP),), whole(REFUSAL), with_headers(whole("Rome"), ANSWERED))


async def test_whatever_is_refused_and_what_the_next_agent_says(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry, "MOST_LUCK", 10**6)
    ends = [count_calls(monkeypatch, name) for name in ("_passes_on", "_relay", "_commit", "_hand_over")]
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
    assert all(len(calls) > _EXAMPLES // 12 for calls in ends), [*map(len, ends)]
