"""`litellm`: its chats, its responses and its Anthropic calls, in front of real vLLM."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from support import tiny_model
from support.client_requests import ANSWERED, ENDLESS, IMAGE, LIMIT, SCHEMA, TOGETHER, Seeing, ended_by_leaving
from support.fake_engine import Script
from support.tiny_cascade import Cascade

pytestmark = [pytest.mark.vllm, pytest.mark.litellm, pytest.mark.timeout(900)]

WORKER = Path(__file__).with_name("litellm_worker.py")
QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
"""Prices as installed, not from the network."""
PATH, AGENT = "llm_provider-x-disrouter-path", "llm_provider-x-disrouter-agent"
TOOL = {"type": "function", "function": {"name": "Tell", "parameters": SCHEMA}}


class LiteLLM:
    """The process that calls it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    async def __call__(self, kind: str, **fields: Any) -> Any:
        return await asyncio.to_thread(self._exchange, orjson.dumps({"kind": kind, "fields": fields}))

    def _exchange(self, line: bytes) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + b"\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@pytest.fixture(scope="module")
def litellm() -> Iterator[LiteLLM]:
    """One process for the module: importing it takes seconds."""
    words = [os.environ["DISROUTER_LITELLM_PYTHON"], str(WORKER)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **QUIET, "PYTHONPATH": ""}
    ) as process:
        yield LiteLLM(process)
        assert process.stdin is not None
        process.stdin.close()


def chat(url: str, question: Any, **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}]
    base = {"model": "openai/qwen", "api_base": f"{url}/v1", "api_key": "none", "messages": messages, "num_retries": 0}
    return {**base, "max_tokens": LIMIT, "temperature": 0, **fields}


def response(url: str, question: str, **fields: Any) -> dict[str, Any]:
    base = {"model": "openai/qwen", "api_base": f"{url}/v1", "api_key": "none", "input": question}
    return {**base, "max_output_tokens": LIMIT, "temperature": 0, **fields}


def texts_of(reply: Any) -> list[str]:
    assert "error" not in reply, reply
    return [choice["message"]["content"] for choice in reply["choices"]]


@pytest.mark.parametrize(("question", "answer", "path"), ANSWERED)
async def test_chats(litellm: LiteLLM, cascade: Cascade, question: str, answer: str, path: str) -> None:
    whole = await litellm("completion", **chat(cascade.url, question))
    assert (texts_of(whole), whole["headers"][PATH]) == ([answer], path)
    assert whole["usage"]["completion_tokens"] == len(answer) + 1
    streamed = await litellm("stream", **chat(cascade.url, question))
    assert texts_of(streamed) == [answer]
    assert streamed["pieces"] > 2


@pytest.mark.parametrize(("question", "answer", "path"), ANSWERED)
async def test_responses(litellm: LiteLLM, cascade: Cascade, question: str, answer: str, path: str) -> None:
    for kind in ("responses", "responses_stream"):
        told = await litellm(kind, **response(cascade.url, question))
        assert told.get("text") == answer, told


@pytest.mark.parametrize(("question", "answer", "path"), ANSWERED)
async def test_anthropics_messages(litellm: LiteLLM, cascade: Cascade, question: str, answer: str, path: str) -> None:
    asked = chat(cascade.url, question, model="anthropic/qwen", api_base=cascade.url)
    told = await litellm("messages", **asked)
    assert told.get("content") == [{"type": "text", "text": answer}], told
    assert texts_of(await litellm("completion", **asked)) == [answer], "a chat that it translates"
    assert texts_of(await litellm("stream", **asked)) == [answer]


@pytest.mark.parametrize(("question", "answer", "path"), ANSWERED)
async def test_structured_answers(litellm: LiteLLM, cascade: Cascade, question: str, answer: str, path: str) -> None:
    format_ = {"type": "json_schema", "json_schema": {"name": "Tell", "schema": SCHEMA, "strict": True}}
    told = await litellm("completion", **chat(cascade.url, question, response_format=format_))
    assert told["headers"][PATH] == path
    (text,) = texts_of(told)
    assert isinstance(json.loads(text)["ok"], bool)


@pytest.mark.parametrize("choice", ["auto", "required", {"type": "function", "function": {"name": "Tell"}}])
@pytest.mark.parametrize(("question", "path"), [(question, path) for question, _, path in ANSWERED])
async def test_tools(litellm: LiteLLM, cascade: Cascade, question: str, path: str, choice: Any) -> None:
    asked = chat(cascade.url, question, tools=[TOOL], tool_choice=choice)
    whole = await litellm("completion", **asked)
    assert whole["headers"][PATH] == path
    for told in (whole, await litellm("stream", **asked)):
        (call,) = told["choices"][0]["message"]["tool_calls"]
        assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == ("Tell", {"ok": True})
    message = whole["choices"][0]["message"]
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "1"}
    messages = [*asked["messages"], message, result]
    after = await litellm("completion", **{**asked, "messages": messages})
    assert after["headers"][AGENT] == whole["headers"][AGENT], "who called goes on"


@pytest.mark.parametrize(("question", "answer", "path"), ANSWERED)
async def test_several_turns(litellm: LiteLLM, cascade: Cascade, question: str, answer: str, path: str) -> None:
    told = await litellm("completion", **chat(cascade.url, "", messages=tiny_model.talk(question)))
    assert (texts_of(told), told["headers"][PATH]) == ([answer], path)


async def test_an_image_goes_to_an_agent_that_takes_it(litellm: LiteLLM, seeing: Seeing) -> None:
    seeing.large.script = Script(text="A dot.")
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": IMAGE}}]
    told = await litellm("completion", **chat(seeing.url, parts))
    assert (texts_of(told), told["headers"][PATH]) == (["A dot."], "small,large")
    assert texts_of(await litellm("stream", **chat(seeing.url, parts))) == ["A dot."]


@pytest.mark.parametrize(("question", "answer", "path"), ANSWERED)
async def test_choices_and_logprobs(litellm: LiteLLM, cascade: Cascade, question: str, answer: str, path: str) -> None:
    asked = chat(cascade.url, question, n=2, temperature=0.01, logprobs=True, top_logprobs=2)
    told = await litellm("completion", **asked)
    assert texts_of(told) == [answer, answer]
    tokens = told["choices"][1]["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens).startswith(answer)


async def test_a_client_that_leaves_ends_the_engines_work(litellm: LiteLLM, cascade: Cascade) -> None:
    async with ended_by_leaving(cascade.engine):
        await litellm("leave", **chat(cascade.url, tiny_model.KNOWN, max_tokens=230, extra_body=ENDLESS))


async def test_many_at_once(litellm: LiteLLM, cascade: Cascade) -> None:
    asked = [ANSWERED[index % 2] for index in range(TOGETHER)]
    told = await litellm("many", calls=[chat(cascade.url, question) for question, _, _ in asked])
    assert told.get("texts") == [answer for _, answer, _ in asked], told


async def test_errors(litellm: LiteLLM, cascade: Cascade) -> None:
    unknown = await litellm("completion", **chat(cascade.url, "x", model="openai/nobody"))
    assert (unknown["error"], unknown["status"]) == ("NotFoundError", 404)
    wrong = await litellm("completion", **chat(cascade.url, tiny_model.KNOWN, temperature=-1))
    assert (wrong["error"], wrong["status"]) == ("BadRequestError", 400)
    assert "temperature" in wrong["message"]
