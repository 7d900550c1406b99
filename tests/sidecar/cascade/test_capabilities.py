"""An agent that cannot take what a request brings is passed over unasked: as declared, or as its errors have shown."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from disrouter.routes import AliasRoute, Capabilities
from support.fake_engine import Script
from support.sidecars import REFUSAL, Cascade

IMAGE = [
    {"type": "text", "text": "What is it?"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,x"}},
]
AUDIO = [{"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}}]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {}}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}
NEEDS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("images", {"images": False}, {"messages": [{"role": "user", "content": IMAGE}]}),
    ("audio", {"audio": False}, {"messages": [{"role": "user", "content": AUDIO}]}),
    ("tools", {"tools": False}, {"tools": [TOOL]}),
    ("structured output", {"structured_output": False}, {"response_format": FORMAT}),
    ("a long answer", {"context_length": 100}, {"max_tokens": 101}),
    ("a long prompt", {"context_length": 100}, {"messages": [{"role": "user", "content": "word " * 400}]}),
]
BY_NEED = pytest.mark.parametrize(("lacks", "fields"), [row[1:] for row in NEEDS], ids=[row[0] for row in NEEDS])


def with_capabilities(three: Cascade, **capabilities: dict[str, Any]) -> None:
    table = three.table()
    routes = {
        name: replace(table.agents[name], capabilities=Capabilities(**lacks)) for name, lacks in capabilities.items()
    }
    three.publish(replace(table, agents={**table.agents, **routes}))


@BY_NEED
async def test_an_agent_that_declares_a_lack_is_not_asked(
    three: Cascade, lacks: dict[str, Any], fields: dict[str, Any]
) -> None:
    with_capabilities(three, small=lacks, medium=lacks)
    three.scripts("unused", "unused", "large's")
    assert await three.said(await three.ask(**fields)) == ("small,medium,large", "large's")
    assert [len(agent.engine.bodies) for agent in three.agents.values()] == [0, 0, 1]
    assert three.entry.metric("disrouter_failovers_total", reason="capability") == 2


@BY_NEED
async def test_a_request_that_does_not_need_it_is_asked_as_ever(
    three: Cascade, lacks: dict[str, Any], fields: dict[str, Any]
) -> None:
    with_capabilities(three, small=lacks)
    assert (await three.said(await three.ask()))[0] == "small"


async def test_the_last_agent_is_asked_whatever_it_declares_and_so_is_a_pinned_one(three: Cascade) -> None:
    with_capabilities(three, small={"images": False}, medium={"images": False}, large={"images": False})
    messages = [{"role": "user", "content": IMAGE}]
    assert (await three.said(await three.ask(messages=messages)))[0] == "small,medium,large"
    assert (await three.said(await three.ask("qwen/small", messages=messages)))[0] == "small"


async def test_what_an_engine_cannot_take_is_learned_from_its_error(three: Cascade) -> None:
    body = json.dumps({"error": {"message": "small is not a multimodal model", "code": 400}}).encode()
    three.scripts(Script(status=400, body=body), "medium's", "unused")
    messages = [{"role": "user", "content": IMAGE}]
    for _ in range(3):
        assert (await three.said(await three.ask(messages=messages)))[0] == "small,medium"
    assert len(three.entry.engine.bodies) == 1
    three.entry.engine.script = Script(text="four")
    assert (await three.said(await three.ask()))[0] == "small"


async def test_a_declared_ability_outranks_what_was_learned(three: Cascade) -> None:
    with_capabilities(three, small={"images": True})
    body = b'{"error": {"message": "image input is not supported"}}'
    three.scripts(Script(status=400, body=body), "medium's", "unused")
    for _ in range(2):
        await three.ask(messages=[{"role": "user", "content": IMAGE}])
    assert len(three.entry.engine.bodies) == 2


async def test_nothing_is_learned_that_the_request_did_not_bring(three: Cascade) -> None:
    """An error that repeats a client's words must not turn other clients' requests away."""
    body = b'{"error": {"message": "the tool \'images are not supported\' is unknown"}}'
    three.scripts(Script(status=400, body=body), "medium's", "unused")
    await three.ask()
    three.scripts("small's", "unused", "unused")
    assert (await three.said(await three.ask(messages=[{"role": "user", "content": IMAGE}])))[0] == "small"


async def test_a_context_length_is_learned_from_the_error_that_names_it(three: Cascade) -> None:
    body = b'{"error": {"message": "This model\'s maximum context length is 64 tokens. You asked for 99."}}'
    three.scripts(Script(status=400, body=body), "medium's", "unused")
    for _ in range(2):
        assert (await three.said(await three.ask(max_tokens=65)))[0] == "small,medium"
    assert len(three.entry.engine.bodies) == 1


async def test_a_refusal_in_between_still_counts(three: Cascade) -> None:
    with_capabilities(three, small={"tools": False})
    three.scripts("unused", REFUSAL, "large's")
    assert await three.said(await three.ask(tools=[TOOL])) == ("small,medium,large", "large's")


async def test_aliases_stand_for_the_cascade_or_an_agent(three: Cascade) -> None:
    three.publish(three.table(aliases={"gpt-4o": AliasRoute(), "org/big": AliasRoute(agent="large")}))
    three.scripts(REFUSAL, "medium's", "large's")
    assert await three.said(await three.ask("gpt-4o")) == ("small,medium", "medium's")
    assert await three.said(await three.ask("org/big")) == ("large", "large's")
    async with three.http.get(f"{three.entry.url}/v1/models") as response:
        assert [model["id"] for model in (await response.json())["data"]][-2:] == ["gpt-4o", "org/big"]
    assert (await three.ask("gpt-5")).status == 404
