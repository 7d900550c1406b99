"""What autoscalers read: how much came, how much of it is at the engine, and who was wanted, asleep or not."""

from __future__ import annotations

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
    assert 'disrouter_received_requests_total{agent="small",cascade="qwen"} 0.0' in text


async def test_a_request_that_is_rejected_unread_asks_for_no_pods(three: Cascade) -> None:
    async with three.http.get(f"{three.entry.url}/v1/nothing") as response:
        assert response.status == 404
    three.scripts("four", "unused", "unused")
    assert (await three.ask()).status == 200
    assert load(three.entry)[0] == 1
