"""An engine without room passes requests on, a cascade without room says 429, and every end gives the place back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from disrouter.calibration import Calibration, CalibrationPoint
from disrouter.routes import Breaker, Fallback, FallbackPolicy, ProbabilityRoute, RouteTable, Timeouts
from disrouter_sidecar.agents.engine import Engine
from disrouter_sidecar.agents.engine_cap import Inflight
from disrouter_sidecar.agents.failures import reason_of
from disrouter_sidecar.errors import Reason, UpstreamFailed
from support.any_engine import Reply, any_engine
from support.fake_engine import CONTEXT_LENGTH, Script, delta, stream_of
from support.local import until
from support.sidecars import AGENTS, REFUSAL, Agent, Cascade, cascade

BROKEN = Script(status=500, body=b"{}")
ENDLESS = Script(pieces=[delta(content="the answer is")], then="hang")
CHAT = {"messages": [{"role": "user", "content": "2+2?"}]}
FAIL = Fallback(policy=FallbackPolicy.FAIL, retry_after=9)


def capped(three: Cascade, cap: int | None = 1, agents: tuple[str, ...] = AGENTS, **changes: Any) -> RouteTable:
    table = three.table(**changes)
    routes = {
        name: replace(route, max_inflight=cap if name in agents else None) for name, route in table.agents.items()
    }
    return replace(table, agents=routes)


def inflight(agent: Agent) -> int:
    """Places at its engine that are taken."""
    return agent.service.neighbours.inflight.count


def skips(agent: Agent, reason: str) -> float:
    return agent.metric("disrouter_failovers_total", reason=reason)


async def occupy(three: Cascade, name: str) -> aiohttp.ClientResponse:
    """A stream that takes the agent's one place until it is closed."""
    three.agents[name].engine.script = ENDLESS
    response = await three.ask(f"qwen/{name}", stream=True)
    assert response.status == 200
    assert await response.content.readuntil(b"\n\n") == delta(content="the answer is")
    return response


@pytest.mark.parametrize("stream", [False, True])
async def test_an_agent_at_its_cap_is_passed_over_unasked(three: Cascade, stream: bool) -> None:
    three.publish(capped(three))
    held = await occupy(three, "small")
    three.agents["medium"].engine.script = Script(text="four")
    before = len(three.entry.engine.bodies)
    response = await three.ask(stream=stream)
    assert (response.status, response.headers["x-disrouter-path"]) == (200, "small,medium")
    assert b"four" in await response.read()
    assert len(three.entry.engine.bodies) == before
    assert (skips(three.entry, "busy"), inflight(three.entry)) == (1, 1)
    assert three.entry.metric("disrouter_breakers_open") == 0
    held.close()
    await until(lambda: inflight(three.entry) == 0, 30)
    three.entry.engine.script = Script(text="five")
    assert await three.said(await three.ask()) == ("small", "five")


@pytest.mark.parametrize(
    ("path", "fields", "kind"),
    [
        ("/chat/completions", CHAT, ("error", "type", "rate_limit_error")),
        ("/chat/completions", CHAT | {"stream": True}, ("error", "code", "rate_limit_exceeded")),
        ("/completions", {"prompt": "2+2="}, ("error", "code", "rate_limit_exceeded")),
        ("/responses", {"input": "2+2?"}, ("error", "code", "rate_limit_exceeded")),
        ("/messages", CHAT | {"max_tokens": 9}, ("error", "type", "rate_limit_error")),
    ],
)
async def test_a_full_cascade_says_429_in_the_apis_shape(
    three: Cascade, path: str, fields: dict[str, Any], kind: tuple[str, str, str]
) -> None:
    three.publish(capped(three, fallback=Fallback(retry_after=7)))
    held = [await occupy(three, name) for name in AGENTS]
    response = await three.send(path, {"model": "qwen", **fields})
    body = await response.json()
    assert (response.status, response.headers["retry-after"]) == (429, "7")
    assert response.headers["x-disrouter-path"] == "small,medium,large"
    assert body[kind[0]][kind[1]] == kind[2]
    assert (body.get("type") == "error") == (path == "/messages")
    assert "large: busy" in body["error"]["message"]
    for each in held:
        each.close()


@pytest.mark.parametrize("agent", ["small", "large"])
async def test_a_request_pinned_to_a_full_agent_gets_429(three: Cascade, agent: str) -> None:
    three.publish(capped(three))
    held = await occupy(three, agent)
    for path, fields in (("/chat/completions", CHAT), ("/embeddings", {"input": "a"})):
        response = await three.send(path, {"model": f"qwen/{agent}", **fields})
        assert (response.status, int(response.headers["retry-after"]) >= 1) == (429, True)
        assert response.headers["x-disrouter-path"].endswith(agent)
    held.close()
    await until(lambda: inflight(three.agents[agent]) == 0, 30)
    assert (await three.send("/embeddings", {"model": f"qwen/{agent}", "input": "a"})).status == 200
    assert inflight(three.agents[agent]) == 0


async def test_engines_that_say_429_fill_a_cascade_too(three: Cascade) -> None:
    limit = Script(status=429, body=b"{}", headers={"retry-after": "3"})
    three.scripts(limit, limit, limit)
    response = await three.ask()
    assert (response.status, response.headers["retry-after"]) == (429, "3")
    assert response.headers["x-disrouter-path"] == "small,medium,large"


async def test_who_refused_answers_where_the_next_agent_is_full_unless_the_table_rather_fails(three: Cascade) -> None:
    three.publish(capped(three, agents=("medium", "large")))
    held = [await occupy(three, name) for name in ("medium", "large")]
    three.entry.engine.script = Script(text=REFUSAL, uninstructed="four")
    assert await three.said(await three.ask()) == ("small,medium,large,small", "four")
    three.publish(capped(three, agents=("medium", "large"), fallback=FAIL))
    response = await three.ask()
    assert (response.status, response.headers["retry-after"]) == (429, "9")
    for each in held:
        each.close()


async def answers(three: Cascade) -> None:
    assert await three.said(await three.ask()) == ("small", "four")


async def streams(three: Cascade) -> None:
    assert await (await three.ask(stream=True)).read() == b"".join(stream_of("four"))


async def refuses(three: Cascade) -> None:
    three.entry.engine.script = Script(text=REFUSAL)
    for stream in (False, True):
        assert (await three.ask(stream=stream)).headers["x-disrouter-path"] == "small,medium"


async def fails(three: Cascade) -> None:
    for script in (BROKEN, Script(status=429, body=b"{}"), Script(pieces=[delta(content="I don")], then="break")):
        three.entry.engine.script = script
        assert (await three.ask(stream=True)).headers["x-disrouter-path"] == "small,medium"


async def breaks(three: Cascade) -> None:
    three.entry.engine.script = Script(pieces=[delta(content="the answer is")], then="break", gap=0.01)
    assert b"upstream_failed" in await (await three.ask(stream=True)).read()


async def times_out(three: Cascade) -> None:
    three.publish(capped(three, timeouts=Timeouts(first_byte=0.2, whole=0.2, idle=0.2)))
    three.entry.engine.script = Script(hang=True)
    assert (await three.ask()).headers["x-disrouter-path"] == "small,medium"
    three.entry.engine.script = ENDLESS
    assert b"upstream_failed" in await (await three.ask(stream=True)).read()


async def client_leaves_before_the_answer(three: Cascade) -> None:
    three.entry.engine.script = Script(hang=True)
    three.entry.engine.asked.clear()
    asking = asyncio.create_task(three.ask())
    await asyncio.wait_for(three.entry.engine.asked.wait(), 30)
    asking.cancel()
    await asyncio.wait([asking])


async def client_leaves_in_the_middle(three: Cascade) -> None:
    (await occupy(three, "small")).close()


async def is_decided_first(three: Cascade) -> None:
    fields: dict[str, Any] = {"response_format": {"type": "json_object"}}
    assert await three.said(await three.ask(**fields)) == ("small", "four")
    three.entry.engine.script = Script(text=REFUSAL)
    assert (await three.ask(**fields)).headers["x-disrouter-path"] == "small,medium"


async def is_rejected_with_its_instruction(three: Cascade) -> None:
    """The engine is asked once more, for the least that it gives."""
    three.entry.engine.script = Script(status=400, body=b'{"error": {"message": "no"}}', uninstructed="four")
    for stream in (False, True):
        assert (await three.ask(stream=stream)).headers["x-disrouter-path"] == "small,medium"
    three.entry.engine.script = Script(status=400, body=json.dumps({"error": {"message": CONTEXT_LENGTH}}).encode())
    assert (await three.ask()).headers["x-disrouter-path"] == "small,medium"


async def is_probed(three: Cascade) -> None:
    points = (CalibrationPoint(refusal=0.1, competence=0.9), CalibrationPoint(refusal=0.8, competence=0.2))
    route = ProbabilityRoute(calibration=Calibration(token="I", points=points))
    table = capped(three)
    small = replace(table.agents["small"], probability=route)
    three.publish(replace(table, agents={**table.agents, "small": small}))
    for chances, path in (({"f": 0.9, "I": 0.05}, "small"), ({"I": 0.9}, "small,medium")):
        three.entry.engine.script = Script(text="four", chances=chances)
        assert (await three.ask()).headers["x-disrouter-path"] == path


async def falls_back(three: Cascade) -> None:
    three.scripts(Script(text=REFUSAL, uninstructed="four"), BROKEN, BROKEN)
    assert await three.said(await three.ask()) == ("small,medium,large,small", "four")


async def is_invalid(three: Cascade) -> None:
    assert (await three.ask(messages=[])).status == 400


async def is_passed_through(three: Cascade) -> None:
    assert (await three.send("/embeddings", {"model": "qwen/small", "input": "a"})).status == 200
    three.entry.engine.script = BROKEN
    assert (await three.send("/embeddings", {"model": "qwen/small", "input": "a"})).status == 503


ENDS: list[Callable[[Cascade], Awaitable[None]]] = [
    *(answers, streams, refuses, fails, breaks, times_out, client_leaves_before_the_answer),
    *(client_leaves_in_the_middle, is_decided_first, is_rejected_with_its_instruction, is_probed, falls_back),
    *(is_invalid, is_passed_through),
]


async def test_every_end_gives_the_place_back(three: Cascade) -> None:
    for ends in (*ENDS, *reversed(ENDS)):
        three.publish(capped(three, breaker=Breaker(failures=1000)))
        three.scripts("four", "five", "six")
        await ends(three)
        await until(lambda: not any(map(inflight, three.agents.values())), 30)
        assert not any(skips(agent, "busy") for agent in three.agents.values()), ends.__name__
    assert all(agent.service.neighbours.inflight.count == 0 for agent in three.agents.values())


async def test_no_more_than_the_cap_are_ever_there(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(any_engine())
        one = await stack.enter_async_context(cascade(tmp_path, ("only",), engine_url=engine.url))
        one.publish(capped(one, 3, ("only",)))
        engine.reply = Reply(b'{"choices": []}', gap=0.02)
        only = one.agents["only"]

        async def ask(number: int) -> int:
            await asyncio.sleep(number % 7 * 0.01)
            path, fields = (("/chat/completions", CHAT), ("/embeddings", {"input": "a"}))[number % 2]
            response = await one.send(path, {"model": "qwen/only", **fields})
            await response.read()
            return response.status

        statuses = await asyncio.gather(*map(ask, range(80)))
        assert set(statuses) == {200, 429}
        assert engine.most_at_once == 3
        assert len(engine.bodies) == statuses.count(200)
        assert skips(only, "busy") == statuses.count(429)
        assert inflight(only) == 0


async def test_a_cap_changes_with_the_table_and_without_one_no_place_is_taken(three: Cascade) -> None:
    three.entry.engine.script = Script(text="four")
    assert await three.said(await three.ask()) == ("small", "four")
    assert isinstance(three.entry.service.dependencies.engine, Engine)
    three.publish(capped(three, 1))
    held = await occupy(three, "small")
    three.publish(capped(three, 2))
    second = await occupy(three, "small")
    assert inflight(three.entry) == 2
    three.publish(capped(three, None))
    third = await occupy(three, "small")
    assert inflight(three.entry) == 2
    assert three.entry.metric("disrouter_engine_inflight_requests") == 3, "an autoscaler counts them all"
    assert isinstance(three.entry.service.dependencies.engine, Engine)
    for each in (held, second, third):
        each.close()
    await until(lambda: inflight(three.entry) == 0, 30)


def test_a_place_is_given_back_once() -> None:
    places = Inflight()
    first, second = places.take(2), places.take(2)
    with pytest.raises(UpstreamFailed) as caught:
        places.take(2)
    assert caught.value.reason is Reason.BUSY
    passed = first.passed_on()
    first.release()
    assert places.count == 2
    for slot in (passed, passed, second):
        slot.release()
    assert places.count == 0


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (429, b"", Reason.RATE_LIMITED),
        (529, b'{"error": {"type": "overloaded_error"}}', Reason.RATE_LIMITED),
        (503, b'{"object": "error", "message": "The request queue is full."}', Reason.RATE_LIMITED),
        (503, b'{"error": "Exceeds maximum queue size"}', Reason.RATE_LIMITED),
        (503, b'{"error": {"message": "Overloaded", "type": "overloaded_error"}}', Reason.RATE_LIMITED),
        (
            503,
            b"upstream connect error or disconnect/reset before headers. reset reason: overflow",
            Reason.RATE_LIMITED,
        ),
        (503, b'{"error": {"message": "Loading model"}}', Reason.COLD),
        (503, b"no healthy upstream", Reason.COLD),
        (503, b"", Reason.COLD),
        (500, b"queue is full", Reason.SERVER_ERROR),
    ],
)
def test_a_full_queue_is_told_from_an_engine_that_is_not_ready(status: int, body: bytes, reason: Reason) -> None:
    assert reason_of(status, body) is reason


async def test_an_engine_with_a_full_queue_passes_on_and_is_not_taken_for_broken(three: Cascade) -> None:
    three.publish(three.table(breaker=Breaker(failures=1, open_seconds=60)))
    three.scripts(Script(status=503, body=b'{"message": "The request queue is full."}'), "four", "unused")
    for _ in range(3):
        assert await three.said(await three.ask()) == ("small,medium", "four")
    assert len(three.entry.engine.bodies) == 3
    assert (skips(three.entry, "rate_limited"), three.entry.metric("disrouter_breakers_open")) == (3, 0)


async def test_an_engine_that_asks_to_wait_rests_for_as_long_as_a_breaker_is_open_at_most(three: Cascade) -> None:
    three.publish(three.table(breaker=Breaker(failures=1, open_seconds=1)))
    three.scripts(Script(status=429, body=b"{}", headers={"retry-after": "3000"}), "four", "unused")
    for _ in range(3):
        assert await three.said(await three.ask()) == ("small,medium", "four")
    assert len(three.entry.engine.bodies) == 1
    assert (skips(three.entry, "rate_limited"), three.entry.metric("disrouter_breakers_open")) == (3, 0)
    response = await three.ask("qwen/small")
    assert (response.status, response.headers["retry-after"]) == (429, "1")
    three.entry.engine.script = Script(text="five")
    await asyncio.sleep(1.1)
    assert await three.said(await three.ask()) == ("small", "five")
    assert await three.said(await three.ask()) == ("small", "five")
