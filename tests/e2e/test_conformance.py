"""Every feature of the API through a sidecar gives what real vLLM gives when it is asked directly, instructed alike.

Decided first and then asked plainly is what would keep an agent from refusing (`DECIDED_FIRST`). Replies are compared
as bytes, streams event by event. What may differ is cut out of both (`_VARIES`): identifiers,
times, and the field `disrouter` that a refused hop adds to a whole reply. vLLM joins deltas when it is late, so
that two streams of the same words may be cut differently: both are asked again then, a few times.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import openai
import pytest

from disrouter.scenario import Scenario, instruct, instruct_prompt
from support import tiny_model
from support.tiny_cascade import MODEL, THINKING, Cascade

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

TRIES = 10
_VARIES = re.compile(
    rb'"(id|item_id|call_id|request_id)"\s*:\s*"[^"]*"|"(created|created_at|completed_at)"\s*:\s*[0-9.]+|'
    rb'"(prompt_cache_key|session_id)"\s*:\s*"[^"]*"|,"disrouter":\{.*\}(?=\}$)'
)
_CHOICE = re.compile(rb'"choices":\[\{"index":(\d+)')
USER: dict[str, Any] = {"role": "user", "content": tiny_model.KNOWN}
TOOL = {"name": "Tell", "parameters": {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}}
TOOLS = {"tools": [{"type": "function", "function": TOOL}]}
SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}},
    "required": ["ok"],
    "additionalProperties": False,
}
TALK = [{"role": "system", "content": "Be brief."}, USER, {"role": "assistant", "content": "It is"}, USER]
WHY = [{"role": "user", "content": tiny_model.WHY}]
PARTS = [{"role": "user", "content": [{"type": "text", "text": tiny_model.KNOWN}]}]

CHATS: dict[str, dict[str, Any]] = {
    "plain": {},
    "several turns": {"messages": TALK},
    "content in parts": {"messages": PARTS},
    "several choices": {"n": 3, "temperature": 0.7},
    "stop": {"stop": [" four", "x"]},
    "logprobs": {"logprobs": True, "top_logprobs": 3},
    "cut off": {"max_tokens": 3},
    "max_completion_tokens": {"max_tokens": None, "max_completion_tokens": 3},
    "tools offered": {**TOOLS, "tool_choice": "auto"},
    "tools forbidden": {**TOOLS, "tool_choice": "none"},
    "a tool required": {**TOOLS, "tool_choice": "required", "max_tokens": 60},
    "a tool by name": {**TOOLS, "tool_choice": {"type": "function", "function": {"name": "Tell"}}, "max_tokens": 60},
    "a JSON schema": {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}}},
    "a JSON object": {"response_format": {"type": "json_object"}},
    "usage at the end": {"stream_options": {"include_usage": True}},
    "reasoning": {"messages": WHY, **THINKING},
    "reasoning left out": {"messages": WHY, **THINKING, "include_reasoning": False},
    "fields of vLLM": {"top_k": 5, "repetition_penalty": 1.1, "return_token_ids": True},
    "unknown fields": {"surprise": {"deep": [1, None, "ä"]}, "metadata": {"a": "b"}, "user": "u"},
    "a wrong value": {"temperature": -1},
    "a wrong type": {"max_tokens": "many"},
}
PROMPTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "several prompts": {"prompt": [tiny_model.KNOWN, tiny_model.WHY]},
    "several choices": {"n": 2, "temperature": 0.7},
    "stop": {"stop": "e"},
    "logprobs": {"logprobs": 2},
    "cut off": {"max_tokens": 2},
    "usage at the end": {"stream_options": {"include_usage": True}},
    "a JSON schema": {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}}},
    "unknown fields": {"surprise": [1.5]},
    "a wrong value": {"top_p": 7},
}
UNTOUCHED: dict[str, dict[str, Any]] = {
    "token ids": {"prompt": [5, 6, 7]},
    "lists of token ids": {"prompt": [[5, 6], [7, 8]]},
    "echo": {"echo": True},
}
RESPONSES: dict[str, dict[str, Any]] = {
    "plain": {},
    "items": {"input": [USER]},
    "parts": {"input": [{"role": "user", "content": [{"type": "input_text", "text": tiny_model.KNOWN}]}]},
    "instructions": {"instructions": "Be brief."},
    "cut off": {"max_output_tokens": 3},
    "a JSON schema": {"text": {"format": {"type": "json_schema", "name": "s", "schema": SCHEMA}}},
    "reasoning": {"input": tiny_model.WHY, **THINKING},
    "tools offered": {"tools": [{"type": "function", **TOOL}]},
    "a wrong value": {"temperature": -1},
}
DECIDED_FIRST = frozenset(("response_format", "tool_choice", "text"))


@pytest.fixture
async def both(cascade: Cascade) -> AsyncIterator[tuple[openai.AsyncOpenAI, openai.AsyncOpenAI]]:
    """A client of a cascade whose two agents ask the same vLLM, and a client of that vLLM."""
    async with client(cascade.url) as routed, client(cascade.engine) as direct:
        yield routed, direct


def client(url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", timeout=300.0, max_retries=0)


Both = tuple[openai.AsyncOpenAI, openai.AsyncOpenAI]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fields", CHATS.values(), ids=CHATS.keys())
async def test_chats(both: Both, fields: dict[str, Any], stream: bool) -> None:
    asked = {"messages": [USER], "max_tokens": 40, "temperature": 0, "seed": 1, **fields}
    instructed = {**asked, "messages": instruct(asked["messages"], Scenario.BALANCE)}
    await compare(both, "/chat/completions", asked, _direct(asked, instructed), stream=stream)


@pytest.mark.parametrize("preference", [*({"scenario": each.value} for each in Scenario), {"preference": 0.93}])
async def test_preferences(both: Both, preference: dict[str, Any]) -> None:
    scenario = Scenario(preference.get("scenario", Scenario.COST_FIRST))
    asked = {"messages": [USER], "max_tokens": 40, "temperature": 0, "seed": 1, "disrouter": preference}
    direct = {**asked, "messages": instruct([USER], scenario)}
    del direct["disrouter"]
    await compare(both, "/chat/completions", asked, direct, stream=False)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fields", PROMPTS.values(), ids=PROMPTS.keys())
async def test_completions(both: Both, fields: dict[str, Any], stream: bool) -> None:
    asked = {"prompt": tiny_model.KNOWN, "max_tokens": 20, "temperature": 0, "seed": 1, **fields}
    instructed = {**asked, "prompt": instruct_prompt(asked["prompt"], Scenario.BALANCE)}
    await compare(both, "/completions", asked, _direct(asked, instructed), stream=stream)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fields", UNTOUCHED.values(), ids=UNTOUCHED.keys())
async def test_what_cannot_be_instructed_is_untouched(both: Both, fields: dict[str, Any], stream: bool) -> None:
    asked = {"prompt": tiny_model.KNOWN, "max_tokens": 10, "temperature": 0, "seed": 1, **fields}
    await compare(both, "/completions", asked, asked, stream=stream, path="small,large")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fields", RESPONSES.values(), ids=RESPONSES.keys())
async def test_responses(both: Both, fields: dict[str, Any], stream: bool) -> None:
    asked = {"input": tiny_model.KNOWN, "max_output_tokens": 40, "temperature": 0, "seed": 1, **fields}
    given = asked["input"]
    items = instruct(
        [USER | {"content": given}] if isinstance(given, str) else given, Scenario.BALANCE, part="input_text"
    )
    instructed = {**asked, "input": items[0]["content"] if isinstance(given, str) else items}
    await compare(both, "/responses", asked, _direct(asked, instructed), stream=stream)


BOUND = ("a tool required", "a tool by name", "a JSON schema", "a JSON object")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", BOUND)
async def test_a_forced_reply_to_what_an_agent_does_not_know_is_the_next_ones(
    both: Both, stream: bool, kind: str
) -> None:
    question = [USER | {"content": tiny_model.UNKNOWN}]
    asked = {"messages": question, "max_tokens": 60, "temperature": 0, "seed": 1, **CHATS[kind]}
    await compare(both, "/chat/completions", asked, asked, stream=stream, path="small,large")


@pytest.mark.parametrize("model", ["qwen", "qwen/large"])
@pytest.mark.parametrize("stream", [False, True])
async def test_the_last_agent_is_asked_without_instruction(both: Both, stream: bool, model: str) -> None:
    """After a refusal and when pinned, chats and responses alike; a stream with its usage at the end."""
    path = "small,large" if model == "qwen" else "large"
    usage = {"stream_options": {"include_usage": True}} if stream else {}
    chat = {"messages": [USER | {"content": tiny_model.UNKNOWN}], "max_tokens": 40, "temperature": 0, **usage}
    await compare(both, "/chat/completions", chat, chat, stream=stream, path=path, model=model)
    given = {"input": tiny_model.UNKNOWN, "max_output_tokens": 40, "temperature": 0}
    await compare(both, "/responses", given, given, stream=stream, path=path, model=model)


async def test_the_usage_of_a_stream_is_the_answering_agents(both: Both) -> None:
    usage = {"include_usage": True, "continuous_usage_stats": True}
    asked = {"messages": [USER], "max_tokens": 40, "temperature": 0, "stream_options": usage}
    await compare(
        both, "/chat/completions", asked, {**asked, "messages": instruct([USER], Scenario.BALANCE)}, stream=True
    )


def _direct(asked: dict[str, Any], instructed: dict[str, Any]) -> dict[str, Any]:
    """What the engine is asked to compare with: whether a forced reply answers is found out before."""
    bound = any(name in asked and asked[name] not in ("auto", "none") for name in DECIDED_FIRST)
    return asked if bound else instructed


async def compare(
    both: Both,
    path_of_api: str,
    asked: dict[str, Any],
    direct: dict[str, Any],
    *,
    stream: bool,
    path: str = "small",
    model: str = "qwen",
) -> None:
    cascade, engine = both
    for _ in range(TRIES):
        routed = await ask(cascade, path_of_api, {**asked, "model": model, "stream": stream})
        told = await ask(engine, path_of_api, {**direct, "model": MODEL, "stream": stream})
        assert routed.status_code == told.status_code
        assert routed.headers["content-type"] == told.headers["content-type"]
        assert routed.headers["x-disrouter-path"] == path
        mine, theirs = _comparable(routed.content), _comparable(told.content)
        if mine == theirs:
            return
    assert mine == theirs


def _comparable(body: bytes) -> bytes:
    """Without what varies, and with the events of each choice together: how choices alternate is the engine's hurry."""
    events = _VARIES.sub(b"", body).split(b"\n\n")
    return b"\n\n".join(sorted(events, key=lambda event: int(found[1]) if (found := _CHOICE.search(event)) else 1000))


async def ask(client: openai.AsyncOpenAI, path: str, body: dict[str, Any]) -> httpx2.Response:
    """What the openai client receives, read to its end."""
    try:
        return await client.post(path, body=body, cast_to=httpx2.Response)
    except openai.APIStatusError as error:
        return error.response
