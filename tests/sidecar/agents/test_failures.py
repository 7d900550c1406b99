"""An agent that fails before the commit leads to a failover; after it the client sees how the stream broke."""

from __future__ import annotations

import asyncio
import dataclasses
import json

import openai
import pytest
from msgspec.structs import replace

from disrouter.routes import Breaker, Fallback, FallbackPolicy, RouteTable, Timeouts
from support.fake_engine import CONTEXT_LENGTH, Script, delta, event, stream_of
from support.sidecars import REFUSAL, URL_OF_NOBODY, Agent, Cascade

BROKEN = Script(status=500, body=b'{"error": {"message": "boom"}}')
TOO_LONG = Script(status=400, body=json.dumps({"error": {"message": CONTEXT_LENGTH, "code": 400}}).encode())


def lose_engine(agent: Agent) -> None:
    """From now on nothing listens where the sidecar expects its engine."""
    agent.service.dependencies.engine.use(dataclasses.replace(agent.service.config, engine_url=URL_OF_NOBODY))


def with_timeouts(table: RouteTable, **seconds: float) -> RouteTable:
    return replace(table, timeouts=Timeouts(**seconds))


def failing(table: RouteTable) -> RouteTable:
    """Where everybody after it has failed, an agent that refused is not made to answer."""
    return replace(table, fallback=Fallback(policy=FallbackPolicy.FAIL, retry_after=7))


def without_address(table: RouteTable, name: str) -> RouteTable:
    lost = replace(table.agents[name], url=URL_OF_NOBODY)
    return replace(table, agents={**table.agents, name: lost})


def skips(agent: Agent, reason: str) -> float:
    return agent.metric("disrouter_failovers_total", reason=reason)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_engine_that_refuses_the_connection_is_failed_over(three: Cascade, stream: bool) -> None:
    lose_engine(three.entry)
    response = await three.ask(stream=stream)
    assert response.headers["x-disrouter-path"] == "small,medium"
    assert response.status == 200
    assert skips(three.entry, "refused") == 1


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (BROKEN, "5xx"),
        (Script(status=307, body=b""), "5xx"),
        (TOO_LONG, "context_length"),
        (Script(pieces=[event({"error": {"message": "engine died", "code": 500}})]), "5xx"),
        (Script(pieces=[event({"error": "engine died"})]), "5xx"),
        (Script(pieces=[event({"error": {"message": CONTEXT_LENGTH, "code": 400}})]), "context_length"),
        (Script(pieces=[delta(role="assistant", content="")], then="break"), "connect"),
        (Script(hang=True), "timeout"),
        (Script(pieces=[], then="hang"), "timeout"),
        (Script(pieces=[delta(content="I don")], then="hang"), "timeout"),
    ],
)
async def test_a_stream_that_fails_before_it_decides_is_mended_by_the_next_agent(
    three: Cascade, script: Script, reason: str
) -> None:
    three.publish(with_timeouts(three.table(), first_byte=0.5, idle=0.5))
    three.scripts(script, "four", "unused")
    response = await three.ask(stream=True)
    assert await response.read() == b"".join(stream_of("four"))
    assert response.headers["x-disrouter-path"] == "small,medium"
    assert skips(three.entry, reason) == 1
    decisions = {"cascade": "qwen", "agent": "small", "scenario": "balance", "decision": "failover"}
    assert three.entry.metric("disrouter_agent_decisions_total", **decisions) == 1


@pytest.mark.parametrize(
    ("script", "reason"), [(BROKEN, "5xx"), (TOO_LONG, "context_length"), (Script(hang=True), "timeout")]
)
async def test_a_whole_reply_that_fails_is_mended_too(three: Cascade, script: Script, reason: str) -> None:
    three.publish(with_timeouts(three.table(), whole=0.5))
    three.scripts(script, "four", "unused")
    assert await three.said(await three.ask()) == ("small,medium", "four")
    assert skips(three.entry, reason) == 1


OWN_FAULTS = [
    (401, "auth"),
    (402, "auth"),
    (403, "auth"),
    (404, "not_found"),
    (408, "timeout"),
    (429, "rate_limited"),
]
ACCOUNT = b'{"error": {"message": "Incorrect API key: sk-live-1234 of org-567"}}'


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("status", "reason"), OWN_FAULTS)
async def test_what_is_wrong_with_an_agents_key_model_or_quota_is_mended_by_the_next_agent(
    three: Cascade, status: int, reason: str, stream: bool
) -> None:
    three.scripts(Script(status=status, body=ACCOUNT), "four", "unused")
    response = await three.ask(stream=stream)
    assert response.status == 200
    assert response.headers["x-disrouter-path"] == "small,medium"
    assert skips(three.entry, reason) == 1


@pytest.mark.parametrize(("status", "reason"), OWN_FAULTS)
async def test_where_nobody_is_left_the_client_gets_our_words_and_not_the_providers(
    three: Cascade, status: int, reason: str
) -> None:
    three.publish(failing(three.table()))
    three.scripts(REFUSAL, REFUSAL, Script(status=status, body=ACCOUNT))
    response = await three.ask()
    assert response.status == (429 if status == 429 else 503)
    assert int(response.headers["retry-after"]) > 0
    assert response.headers["x-disrouter-path"] == "small,medium,large"
    error = (await response.json())["error"]
    assert f"large: {reason} (status {status})" in error["message"]
    assert "sk-live" not in error["message"]
    assert error["type"] == ("rate_limit_error" if status == 429 else "server_error")


async def test_a_rate_limit_that_is_not_the_last_reason_is_no_rate_limit(three: Cascade) -> None:
    three.publish(failing(three.table()))
    three.scripts(Script(status=429, body=ACCOUNT), REFUSAL, BROKEN)
    assert (await three.ask()).status == 503


async def test_any_other_complaint_of_the_engine_is_the_clients_to_see(three: Cascade) -> None:
    body = b'{"error": {"message": "temperature must be positive", "type": "BadRequestError", "code": 400}}'
    three.entry.engine.script = Script(status=400, body=body)
    response = await three.ask(stream=True)
    assert response.status == 400
    assert await response.read() == body
    assert response.headers["x-disrouter-agent"] == "small"


async def test_a_complaint_of_the_client_inside_a_stream_is_relayed(three: Cascade) -> None:
    pieces = [event({"error": {"message": "bad logit_bias", "code": 400}})]
    three.entry.engine.script = Script(pieces=pieces)
    response = await three.ask(stream=True)
    assert await response.read() == pieces[0]


async def test_a_question_too_long_for_everybody_gets_the_last_agents_words(three: Cascade) -> None:
    three.scripts(TOO_LONG, TOO_LONG, TOO_LONG)
    response = await three.ask()
    assert response.status == 400
    assert CONTEXT_LENGTH in await response.text()
    assert response.headers["x-disrouter-path"] == "small,medium,large"


@pytest.mark.parametrize("stream", [False, True])
async def test_an_agent_that_cannot_be_reached_is_passed_over(three: Cascade, stream: bool) -> None:
    three.publish(without_address(three.table(), "medium"))
    three.scripts(REFUSAL, "unused", "four")
    response = await three.ask(stream=stream)
    assert response.status == 200
    assert response.headers["x-disrouter-path"] == "small,medium,large"
    assert skips(three.entry, "refused") == 1


async def test_an_agent_whose_sidecar_cannot_route_yet_is_passed_over(three: Cascade) -> None:
    three.scripts(REFUSAL, "unused", "four")
    three.agents["medium"].service.holder.current = None
    assert await three.said(await three.ask()) == ("small,medium,large", "four")
    assert skips(three.entry, "cold") == 1


async def test_when_nobody_can_answer_the_error_names_path_and_reasons_and_nobody_is_asked_twice(
    three: Cascade,
) -> None:
    three.publish(failing(three.table()))
    three.scripts(REFUSAL, BROKEN, BROKEN)
    response = await three.ask(stream=True)
    assert response.status == 503
    assert response.headers["retry-after"] == "7"
    assert response.headers["x-disrouter-path"] == "small,medium,large"
    error = (await response.json())["error"]
    assert error["code"] == "no_agent_available"
    assert error["type"] == "server_error"
    assert "small -> medium -> large" in error["message"]
    assert "large: 5xx (status 500)" in error["message"]
    assert [len(agent.engine.bodies) for agent in three.agents.values()] == [1, 1, 1]


async def test_a_pinned_agent_that_fails_is_not_replaced(three: Cascade) -> None:
    three.scripts("four", BROKEN, "four")
    response = await three.ask("qwen/medium")
    assert response.status == 503
    assert "medium: 5xx" in (await response.json())["error"]["message"]
    assert three.agents["large"].engine.bodies == []


async def test_the_chains_deadline_bounds_a_whole_reply(three: Cascade) -> None:
    three.publish(with_timeouts(three.table(), chain=0.3))
    three.scripts(Script(hang=True), "four", "four")
    response = await three.ask()
    assert response.status == 503
    assert "small: timeout" in (await response.json())["error"]["message"]
    await asyncio.wait_for(three.entry.engine.cancelled.wait(), 2)


@pytest.mark.parametrize("who", ["small", "medium"])
@pytest.mark.parametrize("then", ["break", "hang"])
async def test_a_stream_that_breaks_after_the_commit_ends_with_an_error_event(
    three: Cascade, who: str, then: str
) -> None:
    three.publish(with_timeouts(three.table(), idle=0.5))
    pieces = [delta(content="the answer "), delta(content="is")]
    breaking = Script(pieces=pieces, then=then, gap=0.01)
    three.scripts(breaking if who == "small" else REFUSAL, breaking, "unused")
    response = await three.ask(stream=True)
    body = await response.read()
    assert body.startswith(b"".join(pieces) + b"data: ")
    error = json.loads(body[len(b"".join(pieces)) + 6 :])["error"]
    assert error["code"] == "upstream_failed"
    assert response.headers["x-disrouter-agent"] == who
    assert three.agents["large"].engine.bodies == []


@pytest.mark.parametrize("then", ["break", "hang"])
async def test_an_engine_whose_streams_break_again_and_again_is_left_alone(three: Cascade, then: str) -> None:
    three.publish(replace(with_timeouts(three.table(), idle=0.1), breaker=Breaker(failures=3)))
    breaking, whole = Script(pieces=[delta(content="the answer is")], then=then), Script(text="four")
    for script in (breaking, breaking, whole, breaking, breaking):
        three.scripts(script, "medium's", "unused")
        await (await three.ask(stream=True)).read()
    assert three.entry.metric("disrouter_breakers_open") == 0, "one that ended well begins the count anew"
    await (await three.ask(stream=True)).read()
    assert three.entry.metric("disrouter_breakers_open") == 1
    assert (await three.said(await three.ask()))[0] == "small,medium"


async def test_a_client_that_leaves_its_stream_says_nothing_of_the_engine(three: Cascade) -> None:
    three.publish(replace(three.table(), breaker=Breaker(failures=1)))
    three.entry.engine.script = Script(pieces=[delta(content="the answer is")], then="hang")
    response = await three.ask(stream=True)
    await response.content.readany()
    response.close()
    await asyncio.wait_for(three.entry.engine.cancelled.wait(), 2)
    assert three.entry.metric("disrouter_breakers_open") == 0


async def test_an_openai_client_sees_the_broken_stream_as_an_api_error(three: Cascade) -> None:
    three.entry.engine.script = Script(pieces=[delta(content="the answer is")], then="break", gap=0.01)
    async with three.openai() as client:
        stream = await client.chat.completions.create(
            model="qwen", messages=[{"role": "user", "content": "2+2?"}], stream=True
        )
        first = await anext(stream)
        with pytest.raises(openai.APIError, match="broke off"):
            await anext(stream)
    assert first.choices[0].delta.content == "the answer is"


async def test_a_frame_cut_in_the_middle_does_not_swallow_the_error_event(three: Cascade) -> None:
    three.entry.engine.script = Script(pieces=[delta(content="four"), b'data: {"cho'], then="break", gap=0.01)
    body = await (await three.ask(stream=True)).read()
    assert b'data: {"cho\n\ndata: {"error"' in body


async def test_a_loop_is_refused(three: Cascade) -> None:
    response = await three.ask(headers={"x-disrouter-path": "medium,small"})
    assert response.status == 508
    error = (await response.json())["error"]
    assert error["code"] == "routing_loop"
    assert "medium -> small" in error["message"]
    assert three.entry.engine.bodies == []


async def test_an_address_that_leads_back_ends_in_an_error_not_in_circles(three: Cascade) -> None:
    table = three.table()
    agents = {
        name: replace(route, url=three.entry.url) if name != "small" else route for name, route in table.agents.items()
    }
    three.publish(replace(table, agents=agents))
    three.entry.engine.script = Script(text=REFUSAL)
    assert (await three.ask()).status == 508
    assert (await three.ask("qwen/medium")).status == 508
    assert len(three.entry.engine.bodies) == 1


async def test_agents_beyond_the_hop_cap_are_not_asked(three: Cascade) -> None:
    three.publish(three.table(max_hops=2))
    three.scripts(REFUSAL, REFUSAL, "unused")
    assert await three.said(await three.ask()) == ("small,medium", REFUSAL)
    assert (await three.ask(agent="large", headers={"x-disrouter-path": "small,medium"})).status == 508


async def test_a_redirect_is_not_followed(three: Cascade) -> None:
    three.entry.engine.script = Script(status=308, body=b"")
    assert (await three.ask()).headers["x-disrouter-path"] == "small,medium"
    assert len(three.entry.engine.bodies) == 1
