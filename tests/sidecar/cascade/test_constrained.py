"""Structured output and tools: decided without what binds the reply, answered under it; a loop keeps its agent."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from disrouter_sidecar.openai.dialect import DEFERRAL
from support.fake_engine import Script, event, stream_of, whole_of
from support.raw_engine import Body, RawEngine, RawReply, raw_engine
from support.sidecars import REFUSAL, Cascade, cascade

SSE = "text/event-stream"
SCHEMA = {"type": "object", "properties": {"answer": {"type": "integer"}}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}
TOOL = {"type": "function", "function": {"name": "look", "parameters": SCHEMA}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"answer": 7}'}}
CONSTRAINTS: list[dict[str, Any]] = [
    {"response_format": FORMAT},
    {"response_format": {"type": "json_object"}},
    {"structured_outputs": {"json": SCHEMA}},
    {"guided_json": SCHEMA},
    {"guided_choice": ["a", "b"]},
    {"grammar": "root ::= [0-9]"},
    {"tools": [TOOL], "tool_choice": "required"},
    {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "look"}}},
    {"functions": [TOOL["function"]], "function_call": {"name": "look"}},
    {"logit_bias": {"40": -100}},
    {"allowed_token_ids": [1, 2]},
    {"bad_words": ["know"]},
    {"continue_final_message": True, "add_generation_prompt": False},
]
NAMES = [next(reversed(each)) for each in CONSTRAINTS]


class Grammatical:
    """An engine that keeps to the grammar where it is given one, and says `free` where it is not."""

    def __init__(self, bound: frozenset[str], free: str = REFUSAL) -> None:
        self.bound = bound
        self.free = free

    def __call__(self, body: Body) -> RawReply:
        constrained = any(body.get(name) not in (None, "none") for name in self.bound)
        said = '{"answer": 7}' if constrained else self.free
        return RawReply([b"".join(stream_of(said))], SSE) if body.get("stream") else RawReply([whole_of(said)])


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[tuple[Cascade, RawEngine]]:
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(raw_engine(lambda _: RawReply([whole_of("four")])))
        built = await stack.enter_async_context(cascade(tmp_path, only={"small": {"engine_url": engine.url}}))
        built.scripts("unused", '{"answer": 4}', "unused")
        yield built, engine


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fields", CONSTRAINTS, ids=NAMES)
async def test_an_agent_that_does_not_know_hands_on_what_a_grammar_would_have_made_it_answer(
    small: tuple[Cascade, RawEngine], fields: dict[str, Any], stream: bool
) -> None:
    built, engine = small
    engine.answer = Grammatical(frozenset(fields) - {"tools", "functions"})
    messages = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "It is"}]
    response = await built.ask(messages=messages, stream=stream, **fields)
    assert response.headers["x-disrouter-path"] == "small,medium"
    assert len(engine.bodies) == 1, "a refusal costs one short question"
    sent = built.agents["medium"].engine.bodies
    assert {name: sent[-1][name] for name in fields} == fields, "the next agent gets the client's own request"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fields", CONSTRAINTS, ids=NAMES)
async def test_an_agent_that_knows_answers_under_the_grammar(
    small: tuple[Cascade, RawEngine], fields: dict[str, Any], stream: bool
) -> None:
    built, engine = small
    engine.answer = Grammatical(frozenset(fields) - {"tools", "functions"}, free="It is four.")
    response = await built.ask(stream=stream, max_tokens=60, **fields)
    assert response.headers["x-disrouter-path"] == "small"
    assert '{"answer":' in (await response.text()).replace("\\", "")
    decision, answer = engine.bodies
    assert "Scenario:" in json.dumps(decision)
    assert decision["stream"] is True
    assert "max_tokens" not in decision, "what the context leaves is the bound: a number beyond it would be rejected"
    assert "Scenario:" not in json.dumps(answer)
    assert {name: answer[name] for name in fields} == fields


@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": {"type": "text"}},
        {"tools": [TOOL]},
        {"tools": [TOOL], "tool_choice": "auto"},
        {"stop": ["\n", "Q:"]},
        {"max_tokens": 64},
        {"logit_bias": {"40": 1}},
        {"response_format": None, "stop": None, "max_tokens": None},
    ],
)
async def test_what_leaves_room_for_a_refusal_costs_no_question_more(
    small: tuple[Cascade, RawEngine], fields: dict[str, Any]
) -> None:
    built, engine = small
    assert await built.said(await built.ask(**fields)) == ("small", "four")
    assert [{name: body[name] for name in fields} for body in engine.bodies] == [fields]


async def test_an_agent_with_a_deferral_tool_is_asked_once_and_calls_it_to_refuse(
    small: tuple[Cascade, RawEngine],
) -> None:
    built, engine = small
    table = built.table()
    agents = {**table.agents, "small": replace(table.agents["small"], deferral_tool=True)}
    built.publish(replace(table, agents=agents))
    call = {**CALL, "index": 0, "function": {"name": DEFERRAL, "arguments": "{}"}}

    def answer(body: Body) -> RawReply:
        said = {"role": "assistant", "content": None, "tool_calls": [call]}
        if body.get("stream"):
            return RawReply([event({"choices": [{"index": 0, "delta": said}]})], SSE)
        return RawReply(
            [json.dumps({"choices": [{"index": 0, "message": said, "finish_reason": "tool_calls"}]}).encode()]
        )

    engine.answer = answer
    for fields in ({"tools": [TOOL], "tool_choice": "required"}, {"tools": [TOOL], "stream": True}):
        engine.bodies.clear()
        response = await built.ask(**fields)
        assert response.headers["x-disrouter-path"] == "small,medium"
        (sent,) = engine.bodies
        assert [tool["function"]["name"] for tool in sent["tools"]] == ["look", DEFERRAL]
        assert built.agents["medium"].engine.bodies[-1]["tools"] == [TOOL]
    engine.bodies.clear()
    await built.ask()
    assert "tools" not in engine.bodies[0], "a request without tools gets none"


def called(*calls: dict[str, Any]) -> bytes:
    said = {"role": "assistant", "content": None, "tool_calls": list(calls)}
    return json.dumps({"choices": [{"index": 0, "message": said, "finish_reason": "tool_calls"}]}).encode()


BEGUN = [{"role": "user", "content": "Look it up."}]
RESULTS = [
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "7"},
]


@pytest.mark.parametrize("began", ["small", "medium", "large"])
async def test_a_loop_of_tool_calls_goes_on_with_the_agent_that_began_it(three: Cascade, began: str) -> None:
    order = list(three.agents)
    before = order[: order.index(began)]
    three.scripts(*[Script(text=REFUSAL, body=None) if name in before else Script(body=called(CALL)) for name in order])
    first = await three.ask(messages=BEGUN, tools=[TOOL])
    assert first.headers["x-disrouter-agent"] == began
    three.scripts("small's", "medium's", "large's")
    if began == "small":
        three.entry.engine.script = Script(text=REFUSAL, uninstructed="small's")
    conversation = BEGUN + RESULTS
    for _ in range(2):
        response = await three.ask(messages=conversation, tools=[TOOL])
        assert response.headers["x-disrouter-agent"] == began
        assert (await three.said(response))[1] == f"{began}'s"
        conversation += RESULTS
    assert all(len(three.agents[name].engine.bodies) == 1 for name in before), "who refused is not asked again"


async def test_a_loop_whose_agent_has_failed_goes_on_with_another(three: Cascade) -> None:
    three.scripts(REFUSAL, Script(body=called(CALL)), "unused")
    await three.ask(messages=BEGUN, tools=[TOOL])
    three.scripts("unused", Script(status=503, body=b"{}"), "large's")
    response = await three.ask(messages=BEGUN + RESULTS, tools=[TOOL])
    assert await three.said(response) == ("small,medium,large", "large's")


async def test_another_conversation_and_the_next_question_are_routed_anew(three: Cascade) -> None:
    three.scripts(REFUSAL, Script(body=called(CALL)), "unused")
    await three.ask(messages=BEGUN, tools=[TOOL])
    three.scripts("small's", "medium's", "large's")
    others = [{"role": "user", "content": "Another."}, *RESULTS]
    assert (await three.said(await three.ask(messages=others, tools=[TOOL])))[0] == "small"
    after = [*BEGUN, *RESULTS, {"role": "assistant", "content": "7"}, {"role": "user", "content": "And now?"}]
    assert (await three.said(await three.ask(messages=after, tools=[TOOL])))[0] == "small"
