"""The `anthropic` client: vLLM speaks its API itself, and the sidecar judges it as it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import orjson
import pytest

from support import tiny_model
from support.client_requests import (
    ANSWERED,
    DOT,
    ENDLESS,
    LIMIT,
    SCHEMA,
    TOGETHER,
    Seeing,
    Tell,
    ended_by_leaving,
)
from support.fake_engine import Script, event
from support.tiny_cascade import Cascade

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

TOOL: Any = {"name": "Tell", "input_schema": SCHEMA}


@pytest.fixture
async def client(cascade: Cascade) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with client_of(cascade.url) as built:
        yield built


def client_of(url: str) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=url, api_key="none", timeout=120.0, max_retries=0)


def ask(question: str, **fields: Any) -> Any:
    messages = [{"role": "user", "content": question}]
    return {"model": "qwen", "messages": messages, "max_tokens": LIMIT, **fields}


def text_of(message: anthropic.types.Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


@pytest.mark.parametrize(("question", "answer", "path"), ANSWERED)
async def test_messages(client: anthropic.AsyncAnthropic, question: str, answer: str, path: str) -> None:
    raw = await client.messages.with_raw_response.create(**ask(question))
    whole = await raw.parse()
    assert (raw.headers["x-disrouter-path"], text_of(whole), whole.stop_reason) == (path, answer, "end_turn")
    assert whole.usage.output_tokens == len(answer) + 1
    events = await client.messages.create(**ask(question), stream=True)
    kinds = [event.type async for event in events]
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    async with client.messages.stream(**ask(question)) as stream:
        assert stream.response.headers["x-disrouter-path"] == path
        said = [text async for text in stream.text_stream]
        final = await stream.get_final_message()
    assert "".join(said) == text_of(final) == answer
    assert final.stop_reason == "end_turn"


@pytest.mark.parametrize(("question", "answer", "path"), ANSWERED)
async def test_several_turns_with_a_system_prompt(
    client: anthropic.AsyncAnthropic, question: str, answer: str, path: str
) -> None:
    system, *messages = tiny_model.talk(question)
    asked = ask("", system=system["content"], messages=messages)
    raw = await client.messages.with_raw_response.create(**asked)
    assert (raw.headers["x-disrouter-path"], text_of(await raw.parse())) == (path, answer)
    blocks = [{"role": each["role"], "content": [{"type": "text", "text": each["content"]}]} for each in messages]
    async with client.messages.stream(**asked | {"messages": blocks}) as stream:
        assert text_of(await stream.get_final_message()) == answer


@pytest.mark.parametrize(("question", "answer", "path"), ANSWERED)
async def test_reasons_to_stop(client: anthropic.AsyncAnthropic, question: str, answer: str, path: str) -> None:
    cut = await client.messages.create(**ask(question, max_tokens=len(answer) - 1))
    assert (cut.stop_reason, text_of(cut)) == ("max_tokens", answer[:-1])
    last = answer.rsplit(maxsplit=1)[-1]
    stopped = await client.messages.create(**ask(question, stop_sequences=[last]))
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", last)
    assert text_of(stopped) == answer.removesuffix(last)


@pytest.mark.parametrize("choice", [{"type": "auto"}, {"type": "any"}, {"type": "tool", "name": "Tell"}])
@pytest.mark.parametrize(("question", "answer", "path"), ANSWERED)
async def test_tools(
    client: anthropic.AsyncAnthropic, question: str, answer: str, path: str, choice: dict[str, str]
) -> None:
    asked = ask(question, tools=[TOOL], tool_choice=choice)
    raw = await client.messages.with_raw_response.create(**asked)
    assert (raw.headers["x-disrouter-path"], (await raw.parse()).stop_reason) == (path, "tool_use")
    (call,) = (await raw.parse()).content
    assert call.type == "tool_use"
    assert (call.name, call.input) == ("Tell", {"ok": True})
    async with client.messages.stream(**asked) as stream:
        (streamed,) = (await stream.get_final_message()).content
    assert streamed.type == "tool_use"
    assert (streamed.name, streamed.input) == (call.name, call.input)
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "1"}]}
    messages = [*asked["messages"], {"role": "assistant", "content": [call.model_dump()]}, result]
    after = await client.messages.with_raw_response.create(**ask("", messages=messages, tools=[TOOL]))
    assert after.headers["x-disrouter-agent"] == raw.headers["x-disrouter-agent"], "who called goes on"


@pytest.mark.parametrize(("question", "answer", "path"), ANSWERED)
async def test_structured_answers(client: anthropic.AsyncAnthropic, question: str, answer: str, path: str) -> None:
    parsed = await client.messages.parse(**ask(question), output_format=Tell)
    assert isinstance(parsed.parsed_output, Tell)
    async with client.messages.stream(**ask(question), output_format=Tell) as stream:
        assert isinstance((await stream.get_final_message()).parsed_output, Tell)


async def test_an_image_goes_to_an_agent_that_takes_it(seeing: Seeing) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": DOT}
    asked = ask([{"type": "text", "text": "What is it?"}, {"type": "image", "source": source}])  # type: ignore[arg-type]
    seeing.large.script = Script(body=orjson.dumps(whole_of("A dot.")))
    async with client_of(seeing.url) as client:
        raw = await client.messages.with_raw_response.create(**asked)
        assert (raw.headers["x-disrouter-path"], text_of(await raw.parse())) == ("small,large", "A dot.")
        seeing.large.script = Script(pieces=stream_of("A dot."))
        async with client.messages.stream(**asked) as stream:
            assert text_of(await stream.get_final_message()) == "A dot."


def whole_of(text: str) -> dict[str, Any]:
    return {
        **{
            "id": "m",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [{"type": "text", "text": text}],
        },
        **{"stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}},
    }


def stream_of(text: str) -> list[bytes]:
    start = whole_of(text) | {"content": [], "stop_reason": None}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ]
    return [f"event: {each['type']}\n".encode() + event(each) for each in events]


async def test_a_client_that_leaves_ends_the_engines_work(client: anthropic.AsyncAnthropic, cascade: Cascade) -> None:
    async with (
        ended_by_leaving(cascade.engine),
        client.messages.stream(**ask(tiny_model.KNOWN, max_tokens=230, extra_body=ENDLESS)) as stream,
    ):
        async for _ in stream.text_stream:
            break


async def test_many_at_once(client: anthropic.AsyncAnthropic) -> None:
    asked = [ANSWERED[index % 2] for index in range(TOGETHER)]
    told = await asyncio.gather(*(client.messages.create(**ask(question)) for question, _, _ in asked))
    assert [text_of(each) for each in told] == [answer for _, answer, _ in asked]


async def test_errors_are_anthropics(client: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as unknown:
        await client.messages.create(**ask("", model="nobody"))
    assert unknown.value.type == "not_found_error"
    with pytest.raises(anthropic.BadRequestError, match="temperature") as wrong:
        await client.messages.create(**ask(tiny_model.KNOWN, extra_body={"temperature": -1}))
    assert isinstance(wrong.value.body, dict)
    assert wrong.value.body["type"] == "error"
    with pytest.raises(anthropic.BadRequestError, match="messages"):
        await client.messages.create(**ask("", messages=[]))
    with pytest.raises(anthropic.NotFoundError, match="not served here") as unserved:
        await client.messages.batches.list()
    assert unserved.value.type == "not_found_error"
    assert [model.id async for model in client.models.list()] == ["qwen", "qwen/small", "qwen/large"]


async def test_tokens_are_counted_for_one_agent(client: anthropic.AsyncAnthropic) -> None:
    asked: Any = [{"role": "user", "content": tiny_model.KNOWN}]
    assert (await client.messages.count_tokens(model="qwen/small", messages=asked)).input_tokens > 0
    with pytest.raises(anthropic.BadRequestError, match="qwen/small") as uncounted:
        await client.messages.count_tokens(model="qwen", messages=asked)
    assert uncounted.value.type == "invalid_request_error"
