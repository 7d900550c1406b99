"""When every agent above fails, the costliest below that is up answers after all, or the client is asked to wait."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from disrouter.routes import Fallback, FallbackPolicy, Retries
from disrouter_sidecar.agents.retry_budget import RetryBudget
from disrouter_sidecar.errors import Reason
from support.fake_engine import Script
from support.sidecars import REFUSAL, URL_OF_NOBODY, Agent, Cascade, cascade

BROKEN = Script(status=500, body=b'{"error": {"message": "boom"}}')
BUSY = Script(status=429, body=b"{}", headers={"retry-after": "17"})
FAIL = Fallback(policy=FallbackPolicy.FAIL, retry_after=9)


def fallbacks(agent: Agent) -> float:
    labels = {"cascade": "qwen", "agent": agent.name, "scenario": "balance", "decision": "fallback"}
    return agent.metric("disrouter_agent_decisions_total", **labels)


def instructed(agent: Agent) -> list[bool]:
    return ["Scenario:" in body["messages"][0]["content"] for body in agent.engine.bodies]


@pytest.mark.parametrize("stream", [False, True])
async def test_the_costliest_agent_that_is_up_must_answer(three: Cascade, stream: bool) -> None:
    three.scripts(REFUSAL, Script(text=REFUSAL, uninstructed="four"), BROKEN)
    response = await three.ask(stream=stream)
    assert response.status == 200
    assert b"four" in await response.read()
    assert response.headers["x-disrouter-agent"] == "medium"
    assert response.headers["x-disrouter-path"] == "small,medium,large,medium"
    assert response.headers["x-disrouter-hops"] == "3"
    assert instructed(three.agents["medium"]) == [True, False]
    assert [fallbacks(agent) for agent in three.agents.values()] == [0, 1, 0]
    assert len(three.entry.engine.bodies) == 1


async def test_where_that_one_is_down_too_the_one_below_answers(three: Cascade) -> None:
    three.scripts(Script(text=REFUSAL, uninstructed="four"), BROKEN, BROKEN)
    assert await three.said(await three.ask()) == ("small,medium,large,small", "four")
    assert fallbacks(three.entry) == 1
    assert [len(agent.engine.bodies) for agent in three.agents.values()] == [2, 1, 1]


async def test_where_every_sidecar_above_is_gone_the_entry_answers(three: Cascade) -> None:
    table = three.table()
    gone = {name: replace(table.agents[name], url=URL_OF_NOBODY) for name in ("medium", "large")}
    three.publish(replace(table, agents={**table.agents, **gone}))
    three.scripts(Script(text=REFUSAL, uninstructed="four"), "unused", "unused")
    assert await three.said(await three.ask()) == ("small,medium,large,small", "four")


async def test_nobody_is_made_to_answer_where_the_table_rather_fails(three: Cascade) -> None:
    three.publish(three.table(fallback=FAIL))
    three.scripts(REFUSAL, REFUSAL, BROKEN)
    response = await three.ask()
    assert response.status == 503
    assert response.headers["retry-after"] == "9"
    assert sum(fallbacks(agent) for agent in three.agents.values()) == 0


async def test_a_providers_own_wait_is_passed_on(three: Cascade) -> None:
    three.publish(three.table(fallback=FAIL))
    three.scripts(REFUSAL, REFUSAL, BUSY)
    response = await three.ask()
    assert (response.status, response.headers["retry-after"]) == (429, "17")


@pytest.mark.parametrize("wait", ["soon", "-1", "9" * 30, "Wed, 21 Oct 2026 07:28:00 GMT", "0"])
async def test_a_wait_that_is_no_number_of_seconds_is_not(three: Cascade, wait: str) -> None:
    three.publish(three.table(fallback=FAIL))
    three.scripts(REFUSAL, REFUSAL, Script(status=429, body=b"{}", headers={"retry-after": wait}))
    assert (await three.ask()).headers["retry-after"] == "9"


async def test_when_all_are_down_the_client_is_told_to_wait(three: Cascade) -> None:
    three.scripts(BROKEN, BROKEN, BROKEN)
    response = await three.ask()
    assert response.status == 503
    assert response.headers["retry-after"] == "5"
    assert response.headers["x-disrouter-path"] == "small,medium,large"


def test_retries_are_a_share_of_the_requests_and_never_less_than_the_burst() -> None:
    settings, budget = Retries(ratio=0.5, burst=2), RetryBudget()
    assert [budget.allows(Reason.TIMEOUT, settings) for _ in range(3)] == [True, True, False]
    assert budget.allows(Reason.CONNECT, settings), "who is not there costs nothing"
    budget.request(settings)
    assert not budget.allows(Reason.SERVER_ERROR, settings)
    budget.request(settings)
    assert [budget.allows(Reason.TIMEOUT, settings) for _ in range(2)] == [True, False]
    for _ in range(99):
        budget.request(settings)
    assert [budget.allows(Reason.TIMEOUT, settings) for _ in range(3)] == [True, True, False], "no more is saved up"


async def test_without_a_retry_left_a_failure_ends_the_request(three: Cascade) -> None:
    three.publish(three.table(retries=Retries(ratio=0.0, burst=1)))
    three.scripts(BROKEN, "four", "unused")
    assert (await three.ask()).status == 200
    response = await three.ask()
    assert response.status == 503
    assert response.headers["x-disrouter-path"] == "small"
    assert three.entry.metric("disrouter_retries_denied_total") == 1


async def test_a_deadline_travels_with_the_request_and_does_not_start_again(three: Cascade) -> None:
    three.scripts(REFUSAL, REFUSAL, Script(hang=True))
    response = await three.ask(headers={"x-disrouter-deadline": "600"})
    assert response.status == 503
    assert int(response.headers["retry-after"]) > 0
    await asyncio.wait_for(three.agents["large"].engine.cancelled.wait(), 30)


async def test_the_next_hop_learns_what_is_left(tmp_path: Path) -> None:
    async with cascade(tmp_path, ("small", "large")) as two:
        table = two.table()
        engine = two.agents["large"].engine.url
        spied = replace(table.agents["large"], url=engine)
        two.publish(replace(table, agents={**table.agents, "large": spied}))
        two.entry.engine.script = Script(text=REFUSAL)
        await two.ask(headers={"x-disrouter-deadline": "900000"})
        await two.ask(headers={"x-disrouter-deadline": "20000"})
        longest, shorter = (int(head["x-disrouter-deadline"]) for head in two.agents["large"].engine.headers)
        assert 20_000 < longest <= 600_000, "anybody can send it, so it only shortens"
        assert 0 < shorter <= 20_000


@pytest.mark.parametrize("deadline", ["soon", "-1", "1.5", "1" * 10, ""])
async def test_a_deadline_that_no_sidecar_writes_is_refused(three: Cascade, deadline: str) -> None:
    response = await three.ask(headers={"x-disrouter-deadline": deadline})
    assert response.status == 400
    assert (await response.json())["error"]["param"] == "x-disrouter-deadline"


async def test_no_time_left_is_said(three: Cascade) -> None:
    response = await three.ask(headers={"x-disrouter-deadline": "0"})
    assert response.status == 503
    assert "deadline has passed" in (await response.json())["error"]["message"]
    assert three.entry.engine.bodies == []
