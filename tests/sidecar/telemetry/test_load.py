"""What autoscalers read: how much came, how much of it is at the engine, and who was wanted, asleep or not."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest
from msgspec.structs import replace

from disrouter.routes import Breaker, Fallback, FallbackPolicy, RouteTable
from support.fake_engine import Script, delta
from support.local import until
from support.sidecars import REFUSAL, URL_OF_NOBODY, Agent, Cascade, cascade

ENDLESS = Script(pieces=[delta(content="the answer is")], then="hang")
PATHS = pytest.mark.parametrize("fast_path", [True, False], ids=["fast path", "general path"])


def wanted(agent: Agent, to: str) -> float:
    return agent.metric("disrouter_wanted_hops_total", to=to)


def counted(agent: Agent) -> tuple[float, float]:
    """Received and settled."""
    return agent.metric("disrouter_received_requests_total"), agent.metric("disrouter_settled_requests_total")


def load(agent: Agent) -> tuple[float, float, float]:
    """Received, being served, at the engine."""
    names = ("received_requests_total", "inflight_requests", "engine_inflight_requests")
    received, inflight, at_engine = (agent.metric(f"disrouter_{name}") for name in names)
    return received, inflight, at_engine


def asleep(built: Cascade, *names: str, **changes: object) -> RouteTable:
    """The table of a cascade in which these agents have no pods: nobody listens at their address."""
    table = built.table(**changes)
    gone = {name: replace(table.agents[name], url=URL_OF_NOBODY) for name in names}
    return replace(table, agents=table.agents | gone)


async def streamed(built: Cascade) -> aiohttp.ClientResponse:
    response = await built.ask(stream=True)
    assert response.status == 200
    assert await response.content.readuntil(b"\n\n") == delta(content="the answer is")
    return response


@PATHS
async def test_a_request_that_was_passed_on_is_at_no_engine_of_its_own(tmp_path: Path, fast_path: bool) -> None:
    async with cascade(tmp_path, fast_path=fast_path) as built:
        small, medium, large = built.agents.values()
        for turn in (1, 2, 3):  # a fast path needs a connection that waits
            built.scripts(REFUSAL, ENDLESS, "unused")
            held = await streamed(built)
            assert [load(each)[1:] for each in (small, medium, large)] == [(1, 0), (1, 1), (0, 0)]
            assert [load(each)[0] for each in (small, medium, large)] == [2 * turn - 1, 2 * turn - 1, 0]
            held.close()
            await until(lambda: load(small)[1] == load(medium)[1] == 0, 30)
            built.scripts(REFUSAL, "four", "unused")
            assert (await built.ask()).status == 200
            await until(lambda: load(small)[1:] == load(medium)[1:] == (0, 0), 30)
        assert (wanted(small, "medium"), wanted(small, "large"), wanted(medium, "large")) == (6, 0, 0)


@PATHS
async def test_a_request_at_the_engine_is_counted_while_it_is_there(tmp_path: Path, fast_path: bool) -> None:
    async with cascade(tmp_path, fast_path=fast_path) as built:
        built.scripts(ENDLESS, "unused", "unused")
        held = [await streamed(built) for _ in range(3)]
        assert load(built.entry) == (3, 3, 3)
        for each in held:
            each.close()
        await until(lambda: load(built.entry) == (3, 0, 0), 30)


@PATHS
async def test_who_sleeps_is_wanted_and_passed_over(tmp_path: Path, fast_path: bool) -> None:
    """Once its breaker is open it is not asked at all, and wanted all the same."""
    async with cascade(tmp_path, fast_path=fast_path) as built:
        built.publish(asleep(built, "medium", breaker=Breaker(failures=2, open_seconds=3600)))
        built.scripts(REFUSAL, "unused", "four")
        for _ in range(5):
            assert await built.said(await built.ask()) == ("small,medium,large", "four")
        small = built.entry
        assert small.metric("disrouter_failovers_total", reason="breaker") == 3
        assert (wanted(small, "medium"), wanted(small, "large")) == (5, 5)
        assert load(small) == (5, 0, 0)


async def test_where_everybody_behind_sleeps_the_last_awake_answers_and_they_are_wanted(three: Cascade) -> None:
    three.publish(asleep(three, "medium", "large"))
    three.scripts(Script(text=REFUSAL, uninstructed="four"), "unused", "unused")
    for _ in range(4):
        assert await three.said(await three.ask()) == ("small,medium,large,small", "four")
    assert (wanted(three.entry, "medium"), wanted(three.entry, "large")) == (4, 4)
    assert load(three.entry) == (4, 0, 0)


async def test_a_sleeper_that_a_client_names_is_wanted_though_it_cannot_answer(three: Cascade) -> None:
    three.publish(asleep(three, "large", fallback=Fallback(policy=FallbackPolicy.FAIL)))
    response = await three.ask("qwen/large")
    assert (response.status, int(response.headers["retry-after"]) > 0) == (503, True)
    assert wanted(three.entry, "large") == 1


async def test_who_cannot_take_a_request_is_not_wanted_for_it(three: Cascade) -> None:
    table = three.table()
    blind = replace(table.agents["medium"], capabilities=replace(table.agents["medium"].capabilities, tools=False))
    three.publish(replace(table, agents=table.agents | {"medium": blind}))
    three.scripts(REFUSAL, "unused", "four")
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    assert (await three.said(await three.ask(tools=[tool])))[1] == "four"
    assert (wanted(three.entry, "medium"), wanted(three.entry, "large")) == (0, 1)


async def test_every_agent_that_may_be_wanted_is_shown_before_it_is(three: Cascade) -> None:
    """A counter that begins at one has not risen, as far as Prometheus can tell."""
    text = three.entry.service.metrics.render().decode()
    for to in ("medium", "large"):
        assert f'disrouter_wanted_hops_total{{agent="small",cascade="qwen",to="{to}"}} 0.0' in text
    assert 'to="small"' not in text
    for each in ("received", "settled"):
        assert f'disrouter_{each}_requests_total{{agent="small",cascade="qwen"}} 0.0' in text


@PATHS
async def test_every_request_is_settled_once_whoever_decides_on_it(tmp_path: Path, fast_path: bool) -> None:
    async with cascade(tmp_path, fast_path=fast_path) as built:
        small, medium, large = built.agents.values()
        for turn in (1, 2, 3):
            built.scripts("four", "unused", "unused")
            assert (await built.ask()).status == 200
            built.scripts(REFUSAL, REFUSAL, "four")
            assert (await built.ask()).status == 200
            assert (await built.ask(stream=True)).status == 200
            assert [counted(each) for each in (small, medium, large)] == [
                (3 * turn,) * 2,
                (2 * turn,) * 2,
                (2 * turn,) * 2,
            ]
        built.publish(asleep(built, "medium", "large"))
        built.scripts(Script(text=REFUSAL, uninstructed="four"), "unused", "unused")
        assert await built.said(await built.ask()) == ("small,medium,large,small", "four")
        assert counted(small) == (10, 10)


async def test_a_request_that_is_passed_on_undecided_is_settled_too(three: Cascade) -> None:
    """Else the few that are decided would be taken for all of whom it is known who they want."""
    three.scripts("unused", "unused", ENDLESS)
    held = await three.ask("qwen/large", stream=True)
    assert held.status == 200
    assert counted(three.entry) == (1, 1), "at once, and not when it ends"
    held.close()
    three.scripts("unused", "unused", "four")
    tokens = await three.send("/completions", {"model": "qwen", "prompt": [1, 2, 3]})
    assert tokens.status < 500, "no instruction can be put into it, so the last agent answers"
    assert counted(three.entry) == (2, 2)
    assert (wanted(three.entry, "medium"), wanted(three.entry, "large")) == (0, 2)
    assert three.entry.metric("disrouter_agent_decisions_total", scenario="balance", decision="answer") == 0


@PATHS
async def test_a_request_is_settled_when_it_ends_undecided_and_not_while_it_waits(
    tmp_path: Path, fast_path: bool
) -> None:
    async with cascade(tmp_path, fast_path=fast_path) as built:
        built.scripts("four", "unused", "unused")
        for _ in range(2):  # a fast path needs a connection that waits
            assert (await built.ask()).status == 200
        built.scripts(Script(hang=True), "unused", "unused")
        asked = asyncio.create_task(built.ask())
        await until(lambda: counted(built.entry) == (3, 2), 30)
        asked.cancel()
        await until(lambda: counted(built.entry) == (3, 3), 30)
        built.scripts(Script(status=422, body=b"{}"), "unused", "unused")
        assert (await built.ask()).status == 422
        assert counted(built.entry) == (4, 4)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b'{"model": "qwen", "messages": 7}', {}, 400),
        (b'{"model": "nobody", "messages": [{"role": "user", "content": "2+2?"}]}', {}, 404),
        (b'{"model": "qwen", "messages": [{"role": "user", "content": "2+2?"}]}', {"x-disrouter-path": "small"}, 508),
    ],
)
async def test_a_request_that_is_not_valid_asks_for_no_pods(
    three: Cascade, body: bytes, headers: dict[str, str], status: int
) -> None:
    three.scripts("four", "unused", "unused")
    assert (await three.post(body, headers=headers)).status == status
    assert counted(three.entry) == (0, 0)
    assert (await three.ask()).status == 200
    assert (await three.post(body, headers=headers)).status == status
    assert counted(three.entry) == (1, 1)


async def test_a_text_that_is_found_not_to_be_valid_only_later_is_settled(three: Cascade) -> None:
    """The engine of a plain chat reads it first."""
    three.scripts("four", "unused", "unused")
    for _ in range(2):
        assert (await three.ask()).status == 200
    three.scripts(Script(status=400, body=b"{}"), "unused", "unused")
    broken = json.dumps({"model": "qwen", "messages": [{"role": "user", "content": "2+2?"}]}).replace("2+2?", r"\x")
    assert (await three.post(broken.encode())).status == 400
    received, settled = counted(three.entry)
    assert received == settled


async def test_a_request_that_is_rejected_unread_asks_for_no_pods(three: Cascade) -> None:
    async with three.http.get(f"{three.entry.url}/v1/nothing") as response:
        assert response.status == 404
    three.scripts("four", "unused", "unused")
    assert (await three.ask()).status == 200
    assert counted(three.entry) == (1, 1)
