"""`langchain-openai`: `ChatOpenAI` by chats and by responses, in front of real vLLM."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI

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

TOOL = {"type": "function", "function": {"name": "Tell", "parameters": SCHEMA}}


def model(url: str, **fields: Any) -> ChatOpenAI:
    base: dict[str, Any] = {"model": "qwen", "base_url": f"{url}/v1", "api_key": "none", "max_retries": 0}
    return ChatOpenAI(**{**base, "temperature": 0, "max_tokens": LIMIT, "include_response_headers": True, **fields})


def path_of(message: Any) -> str:
    return str(message.response_metadata["headers"]["x-disrouter-path"])


def agent_of(message: Any) -> str:
    return str(message.response_metadata["headers"]["x-disrouter-agent"])


@pytest.mark.parametrize(("question", "answer", "path"), ANSWERED)
async def test_chats(cascade: Cascade, question: str, answer: str, path: str) -> None:
    whole = await model(cascade.url).ainvoke(question)
    assert (path_of(whole), whole.text) == (path, answer)
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] == len(answer) + 1
    assert "".join([chunk.text async for chunk in model(cascade.url).astream(question)]) == answer


@pytest.mark.parametrize(("question", "answer", "path"), ANSWERED)
async def test_responses(cascade: Cascade, question: str, answer: str, path: str) -> None:
    by_responses = model(cascade.url, use_responses_api=True)
    assert (await by_responses.ainvoke(question)).text == answer
    assert "".join([chunk.text async for chunk in by_responses.astream(question)]) == answer


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
@pytest.mark.parametrize(("question", "answer", "path"), ANSWERED)
async def test_structured_answers(cascade: Cascade, question: str, answer: str, path: str, method: Any) -> None:
    told = await model(cascade.url).with_structured_output(Tell, method=method, include_raw=True).ainvoke(question)
    assert isinstance(told, dict)
    assert isinstance(told["parsed"], Tell)
    assert path_of(told["raw"]) == path


@pytest.mark.parametrize("choice", [None, "required", "Tell"])
@pytest.mark.parametrize(("question", "answer", "path"), ANSWERED)
async def test_tools(cascade: Cascade, question: str, answer: str, path: str, choice: str | None) -> None:
    bound = model(cascade.url).bind_tools([TOOL], tool_choice=choice)
    called = await bound.ainvoke(question)
    assert path_of(called) == path
    assert isinstance(called, AIMessage)
    (call,) = called.tool_calls
    assert (call["name"], call["args"]) == ("Tell", {"ok": True})
    after = await bound.ainvoke([HumanMessage(question), called, ToolMessage("1", tool_call_id=call["id"])])
    assert agent_of(after) == agent_of(called), "who called goes on"


@pytest.mark.parametrize(("question", "answer", "path"), ANSWERED)
async def test_several_turns(cascade: Cascade, question: str, answer: str, path: str) -> None:
    system, sure, said, last = (each["content"] for each in tiny_model.talk(question))
    told = await model(cascade.url).ainvoke(
        [SystemMessage(system), HumanMessage(sure), AIMessage(said), HumanMessage(last)]
    )
    assert (path_of(told), told.text) == (path, answer)


async def test_an_image_goes_to_an_agent_that_takes_it(seeing: Seeing) -> None:
    seeing.large.script = Script(text="A dot.")
    parts: list[Any] = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": IMAGE}}]
    told = await model(seeing.url).ainvoke([HumanMessage(parts)])
    assert (path_of(told), told.text) == ("small,large", "A dot.")
    assert "".join([chunk.text async for chunk in model(seeing.url).astream([HumanMessage(parts)])]) == "A dot."


@pytest.mark.parametrize(("question", "answer", "path"), ANSWERED)
async def test_choices_and_logprobs(cascade: Cascade, question: str, answer: str, path: str) -> None:
    asked = model(cascade.url, n=2, temperature=0.01, logprobs=True, top_logprobs=2)
    (several,) = (await asked.agenerate([[HumanMessage(question)]])).generations
    assert [each.text for each in several] == [answer, answer]
    tokens = (await asked.ainvoke(question)).response_metadata["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens).startswith(answer)


async def test_a_client_that_leaves_ends_the_engines_work(cascade: Cascade) -> None:
    async with ended_by_leaving(cascade.engine):
        stream = model(cascade.url, max_tokens=230, extra_body=ENDLESS).astream(tiny_model.KNOWN)
        async for chunk in stream:
            if chunk.text:
                break
        await stream.aclose()  # type: ignore[attr-defined]


async def test_many_at_once(cascade: Cascade) -> None:
    asked = [ANSWERED[index % 2] for index in range(TOGETHER)]
    told = await asyncio.gather(*(model(cascade.url).ainvoke(question) for question, _, _ in asked))
    assert [each.text for each in told] == [answer for _, answer, _ in asked]


async def test_errors(cascade: Cascade) -> None:
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        await model(cascade.url, model="nobody").ainvoke("x")
    with pytest.raises(openai.BadRequestError, match="top_p"):
        await model(cascade.url, top_p=7).ainvoke(tiny_model.KNOWN)
