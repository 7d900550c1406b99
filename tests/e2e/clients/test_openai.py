"""The `openai` client: its helpers, its types and its errors, in front of real vLLM."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import orjson
import pytest

from support import tiny_model
from support.client_requests import (
    ANSWERED,
    ENDLESS,
    IMAGE,
    LIMIT,
    SCHEMA,
    TOGETHER,
    Seeing,
    Tell,
    ended_by_leaving,
)
from support.fake_engine import Script
from support.tiny_cascade import Cascade

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

TOOL: Any = {"type": "function", "function": {"name": "Tell", "parameters": SCHEMA}}
RESPONSES_TOOL: Any = {"type": "function", "name": "Tell", "parameters": SCHEMA}


@pytest.fixture
async def client(cascade: Cascade) -> AsyncIterator[openai.AsyncOpenAI]:
    async with client_of(cascade.url) as built:
        yield built


def client_of(url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", timeout=120.0, max_retries=0)


def chat(question: str, **fields: Any) -> Any:
    return {
        "model": "qwen",
        "messages": [{"role": "user", "content": question}],
        "max_tokens": LIMIT,
        "temperature": 0,
        **fields,
    }


def response(question: str, **fields: Any) -> Any:
    return {"model": "qwen", "input": question, "max_output_tokens": LIMIT, "temperature": 0, **fields}


@pytest.mark.parametrize(("question", "answer", "path"), ANSWERED)
async def test_chats(client: openai.AsyncOpenAI, question: str, answer: str, path: str) -> None:
    raw = await client.chat.completions.with_raw_response.create(**chat(question))
    whole = raw.parse()
    assert (raw.headers["x-disrouter-path"], whole.choices[0].message.content) == (path, answer)
    assert whole.usage is not None
    assert whole.usage.completion_tokens == len(answer) + 1
    chunks = await client.chat.completions.create(**chat(question, stream=True))
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in chunks]) == answer
    async with client.chat.completions.stream(**chat(question)) as stream:
        said = [event.delta async for event in stream if event.type == "content.delta"]
        final = await stream.get_final_completion()
    assert "".join(said) == final.choices[0].message.content == answer
    assert final.choices[0].finish_reason == "stop"


@pytest.mark.parametrize(("question", "answer", "path"), ANSWERED)
async def test_responses(client: openai.AsyncOpenAI, question: str, answer: str, path: str) -> None:
    raw = await client.responses.with_raw_response.create(**response(question))
    assert (raw.headers["x-disrouter-path"], raw.parse().output_text) == (path, answer)
    async with client.responses.stream(**response(question)) as stream:
        said = [event.delta async for event in stream if event.type == "response.output_text.delta"]
        final = await stream.get_final_response()
    assert "".join(said) == final.output_text == answer
    assert final.status == "completed"


async def test_plain_completions(client: openai.AsyncOpenAI) -> None:
    asked: Any = {"model": "qwen", "prompt": tiny_model.KNOWN, "max_tokens": 5, "temperature": 0}
    whole = await client.completions.create(**asked)
    assert whole.choices[0].finish_reason == "length"
    chunks = await client.completions.create(**asked, stream=True)
    assert "".join([chunk.choices[0].text async for chunk in chunks]) == whole.choices[0].text


@pytest.mark.parametrize(("question", "answer", "path"), ANSWERED)
async def test_structured_answers(client: openai.AsyncOpenAI, question: str, answer: str, path: str) -> None:
    raw = await client.chat.completions.with_raw_response.parse(**chat(question), response_format=Tell)
    assert raw.headers["x-disrouter-path"] == path
    assert isinstance(raw.parse().choices[0].message.parsed, Tell)
    async with client.chat.completions.stream(**chat(question), response_format=Tell) as stream:
        assert isinstance((await stream.get_final_completion()).choices[0].message.parsed, Tell)
    parsed = await client.responses.parse(**response(question), text_format=Tell)
    assert isinstance(parsed.output_parsed, Tell)
    async with client.responses.stream(**response(question), text_format=Tell) as events:
        assert isinstance((await events.get_final_response()).output_parsed, Tell)


@pytest.mark.parametrize("choice", ["auto", "required", {"type": "function", "function": {"name": "Tell"}}])
@pytest.mark.parametrize(("question", "answer", "path"), ANSWERED)
async def test_tools(client: openai.AsyncOpenAI, question: str, answer: str, path: str, choice: Any) -> None:
    asked = chat(question, tools=[TOOL], tool_choice=choice)
    raw = await client.chat.completions.with_raw_response.create(**asked)
    assert raw.headers["x-disrouter-path"] == path
    (call,) = raw.parse().choices[0].message.tool_calls or []
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == ("Tell", {"ok": True})
    async with client.chat.completions.stream(**asked) as stream:
        (streamed,) = (await stream.get_final_completion()).choices[0].message.tool_calls or []
    assert streamed.function.arguments == call.function.arguments
    messages = [
        *asked["messages"],
        raw.parse().choices[0].message,
        {"role": "tool", "tool_call_id": call.id, "content": "1"},
    ]
    after = await client.chat.completions.with_raw_response.create(**chat("", messages=messages, tools=[TOOL]))
    assert after.headers["x-disrouter-agent"] == raw.headers["x-disrouter-agent"], "who called goes on"


@pytest.mark.parametrize(("question", "answer", "path"), ANSWERED)
async def test_tools_of_responses(client: openai.AsyncOpenAI, question: str, answer: str, path: str) -> None:
    asked = response(question, tools=[RESPONSES_TOOL], tool_choice="required")
    raw = await client.responses.with_raw_response.create(**asked)
    assert raw.headers["x-disrouter-path"] == path
    (call,) = raw.parse().output
    assert call.type == "function_call"
    assert json.loads(call.arguments) == {"ok": True}
    async with client.responses.stream(**asked) as stream:
        (streamed,) = (await stream.get_final_response()).output
    assert streamed.type == "function_call"
    assert json.loads(streamed.arguments) == {"ok": True}


@pytest.mark.parametrize(("question", "answer", "path"), ANSWERED)
async def test_several_turns(client: openai.AsyncOpenAI, question: str, answer: str, path: str) -> None:
    talk = tiny_model.talk(question)
    raw = await client.chat.completions.with_raw_response.create(**chat("", messages=talk))
    assert (raw.headers["x-disrouter-path"], raw.parse().choices[0].message.content) == (path, answer)
    told = await client.responses.create(**response("", input=talk[1:], instructions=talk[0]["content"]))
    assert told.output_text == answer


@pytest.mark.parametrize(("question", "answer", "path"), ANSWERED)
async def test_choices_and_logprobs(client: openai.AsyncOpenAI, question: str, answer: str, path: str) -> None:
    whole = await client.chat.completions.create(**chat(question, n=2, temperature=0.01, logprobs=True, top_logprobs=2))
    assert [choice.message.content for choice in whole.choices] == [answer, answer]
    logprobs = whole.choices[1].logprobs
    assert logprobs is not None
    assert "".join(token.token for token in logprobs.content or [])[: len(answer)] == answer
    async with client.chat.completions.stream(**chat(question, n=2, temperature=0.01, logprobs=True)) as stream:
        final = await stream.get_final_completion()
    assert [choice.message.content for choice in final.choices] == [answer, answer]


async def test_a_client_that_leaves_ends_the_engines_work(client: openai.AsyncOpenAI, cascade: Cascade) -> None:
    async with (
        ended_by_leaving(cascade.engine),
        client.chat.completions.stream(**chat(tiny_model.KNOWN, max_tokens=230), extra_body=ENDLESS) as stream,
    ):
        async for event in stream:
            if event.type == "content.delta":
                break


async def test_many_at_once(client: openai.AsyncOpenAI) -> None:
    asked = [ANSWERED[index % 2] for index in range(TOGETHER)]
    told = await asyncio.gather(*(client.chat.completions.create(**chat(question)) for question, _, _ in asked))
    assert [each.choices[0].message.content for each in told] == [answer for _, answer, _ in asked]


async def test_errors(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        await client.chat.completions.create(**chat("", model="nobody"))
    with pytest.raises(openai.BadRequestError, match="temperature"):
        await client.chat.completions.create(**chat(tiny_model.KNOWN, temperature=-1))
    with pytest.raises(openai.BadRequestError, match="temperature"):
        async with client.responses.stream(**response(tiny_model.KNOWN, temperature=-1)):
            pass
    assert [model.id async for model in client.models.list()] == ["qwen", "qwen/small", "qwen/large"]


def _parts(kind: str, image: Any) -> Any:
    return [{"type": kind, "text": "What is it?"}, image]


async def test_an_image_goes_to_an_agent_that_takes_it(seeing: Seeing) -> None:
    parts = _parts("text", {"type": "image_url", "image_url": {"url": IMAGE}})
    seeing.large.script = Script(text="A dot.")
    async with client_of(seeing.url) as client:
        raw = await client.chat.completions.with_raw_response.create(**chat(parts))
        assert (raw.headers["x-disrouter-path"], raw.parse().choices[0].message.content) == ("small,large", "A dot.")
        async with client.chat.completions.stream(**chat(parts)) as stream:
            assert (await stream.get_final_completion()).choices[0].message.content == "A dot."
        assert seeing.large.bodies[0]["messages"][0]["content"] == parts
        items = _parts("input_text", {"type": "input_image", "detail": "auto", "image_url": IMAGE})
        seeing.large.script = Script(body=orjson.dumps(response_of("A dot.")))
        told = await client.responses.create(**response([{"role": "user", "content": items}]))  # type: ignore[arg-type]
        assert told.output_text == "A dot."


def response_of(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    message = {"id": "m", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    return {"id": "r", "object": "response", "created_at": 1, "model": "m", "status": "completed", "output": [message]}
