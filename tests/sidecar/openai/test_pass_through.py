"""What is no question to a cascade goes to the agent that it names, and to nobody else; its reply comes as it is."""

from __future__ import annotations

import asyncio
import io
import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from msgspec.structs import replace

from disrouter.routes import AliasRoute, Timeouts
from disrouter_sidecar.openai import PASS_THROUGH
from support.any_engine import AnyEngine, Reply, any_engine
from support.fake_engine import event
from support.local import until
from support.sidecars import AGENTS, URL_OF_NOBODY, Cascade, cascade

VECTORS = b'{"object": "list",  "data": [{"embedding": [0.25, -1]}], "model": "engine-large"}\n'
SOUND = random.Random(1).randbytes(300_000)
AT_ROOT = {"/classify", "/pooling", "/tokenize", "/detokenize"}


@dataclass
class Passing:
    """A cascade whose engines take anything."""

    cascade: Cascade
    engines: dict[str, AnyEngine]

    def asked(self) -> dict[str, int]:
        return {name: len(engine.bodies) for name, engine in self.engines.items()}

    async def form(self, path: str, model: str | None, **headers: str) -> tuple[aiohttp.ClientResponse, bytes, str]:
        """POST a recording; returns the response, and the body that was sent with its type."""
        form = aiohttp.FormData()
        form.add_field("file", SOUND, filename='a "b"; name=c.wav', content_type="audio/wav")
        if model is not None:
            form.add_field("model", model)
        form.add_field("language", "en")
        writer = form()
        body = await writer.as_bytes()
        kind = writer.content_type
        url = f"{self.cascade.entry.url}/v1{path}"
        response = await self.cascade.http.post(url, data=io.BytesIO(body), headers={"content-type": kind, **headers})
        return response, body, kind


@pytest.fixture
async def passing(tmp_path: Path) -> AsyncIterator[Passing]:
    async with AsyncExitStack() as stack:
        engines = {name: await stack.enter_async_context(any_engine()) for name in AGENTS}
        only = {name: {"engine_url": engine.url} for name, engine in engines.items()}
        yield Passing(await stack.enter_async_context(cascade(tmp_path, only=only)), engines)


async def error_of(response: aiohttp.ClientResponse) -> Mapping[str, Any]:
    error: dict[str, Any] = (await response.json())["error"]
    return error


@pytest.mark.parametrize("path", [api.path for api in PASS_THROUGH])
@pytest.mark.parametrize("agent", ["small", "large"])
async def test_a_request_goes_to_the_agent_that_it_names(passing: Passing, path: str, agent: str) -> None:
    passing.engines[agent].reply = Reply(VECTORS)
    fields = {"model": f"qwen/{agent}", "input": ["a", "b"], "x": 2**70, "disrouter": {"scenario": "balance"}}
    response = await passing.cascade.send(path, fields, headers={"x-request-id": "r-1", "authorization": "Bearer c"})
    assert await response.read() == VECTORS
    assert response.status == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-disrouter-agent"] == response.headers["x-disrouter-path"] == agent
    assert response.headers["x-disrouter-hops"] == "0"
    assert response.headers["x-request-id"] == "r-1"
    assert passing.asked() == {name: int(name == agent) for name in AGENTS}
    engine = passing.engines[agent]
    assert engine.paths == [path if path in AT_ROOT else f"/v1{path}"]
    assert json.loads(engine.bodies[0]) == {"model": f"engine-{agent}", "input": ["a", "b"], "x": 2**70}
    assert (engine.headers[0]["x-request-id"], engine.headers[0].get("authorization")) == ("r-1", None)
    labels = {"cascade": "qwen", "agent": agent}
    assert passing.cascade.agents[agent].metric("disrouter_requests_total", **labels, outcome="answer") == 1


async def test_an_alias_of_an_agent_names_it(passing: Passing) -> None:
    aliases = {"text-embedding-3": AliasRoute(agent="medium"), "gpt-4o": AliasRoute()}
    passing.cascade.publish(passing.cascade.table(aliases=aliases))
    assert (await passing.cascade.send("/embeddings", {"model": "text-embedding-3"})).status == 200
    assert json.loads(passing.engines["medium"].bodies[0]) == {"model": "engine-medium"}
    message = (await error_of(await passing.cascade.send("/embeddings", {"model": "gpt-4o"})))["message"]
    assert message.endswith("known: qwen/small, qwen/medium, qwen/large, text-embedding-3")


@pytest.mark.parametrize("fields", [{"model": "qwen"}, {}, {"model": 1}, {"model": ""}])
async def test_the_cascade_itself_cannot_be_asked(passing: Passing, fields: dict[str, Any]) -> None:
    response = await passing.cascade.send("/embeddings", fields)
    error = await error_of(response)
    assert (response.status, error["param"], error["code"]) == (400, "model", "invalid_request")
    assert "/v1/embeddings is no question" in error["message"]
    assert '"model": "qwen/large"' in error["message"]
    assert set(passing.asked().values()) == {0}


async def test_an_unknown_agent_and_an_unknown_path_are_404(passing: Passing) -> None:
    response = await passing.cascade.send("/rerank", {"model": "qwen/huge"})
    assert (response.status, (await error_of(response))["code"]) == (404, "model_not_found")
    response = await passing.cascade.send("/fine_tuning/jobs", {"model": "qwen/large"})
    error = await error_of(response)
    assert (response.status, error["code"]) == (404, "unknown_url")
    assert "POST /v1/embeddings" in error["message"]
    async with passing.cascade.http.get(f"{passing.cascade.entry.url}/v1/embeddings") as get:
        assert (get.status, get.headers["allow"]) == (405, "POST")


async def test_counting_tokens_has_anthropics_errors(passing: Passing) -> None:
    response = await passing.cascade.send("/messages/count_tokens", {"model": "qwen", "messages": []})
    body = await response.json()
    assert (response.status, body["type"], body["error"]["type"]) == (400, "error", "invalid_request_error")


@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [
        (Reply(b'{"error": {"message": "input is empty", "code": 400}}', 400), 400, 400),
        (Reply(b'{"detail": "Not Found"}', 404), 404, "unsupported_api"),
        (Reply(b"boom", 500), 503, "no_agent_available"),
        (Reply(b"no key", 401), 503, "no_agent_available"),
        (Reply(b"{}", 429, {"retry-after": "7"}), 429, "rate_limit_exceeded"),
    ],
)
@pytest.mark.parametrize("agent", ["small", "large"])
async def test_an_agents_failure_is_an_error_and_nobody_elses_answer(
    passing: Passing, agent: str, reply: Reply, status: int, code: object
) -> None:
    passing.engines[agent].reply = reply
    response = await passing.cascade.send("/embeddings", {"model": f"qwen/{agent}", "input": "a"})
    error = await error_of(response)
    assert (response.status, error["code"]) == (status, code)
    assert passing.asked() == {name: int(name == agent) for name in AGENTS}
    if status == 404:
        assert "no agent's engine offers /v1/embeddings" in error["message"]
        assert error["message"].endswith("name another agent")


async def test_an_agent_that_cannot_be_reached_is_an_error(passing: Passing) -> None:
    table = passing.cascade.table()
    lost = replace(table.agents["large"], url=URL_OF_NOBODY)
    passing.cascade.publish(replace(table, agents={**table.agents, "large": lost}))
    response = await passing.cascade.send("/embeddings", {"model": "qwen/large", "input": "a"})
    assert response.status == 503
    assert "large: refused" in (await error_of(response))["message"]
    assert set(passing.asked().values()) == {0}


async def test_an_engine_that_does_not_answer_in_time_is_an_error(passing: Passing) -> None:
    passing.cascade.publish(passing.cascade.table(timeouts=Timeouts(whole=0.2)))
    passing.engines["small"].reply = Reply(gap=30)
    response = await passing.cascade.send("/embeddings", {"model": "qwen/small", "input": "a"})
    assert (response.status, "small: timeout" in (await error_of(response))["message"]) == (503, True)


@pytest.mark.parametrize("agent", ["small", "large"])
async def test_sound_comes_as_it_is_made(passing: Passing, agent: str) -> None:
    """Of any size: no reply is held, at no hop."""
    pieces = [SOUND[:1000], SOUND[1000:], *[SOUND] * 80]
    passing.engines[agent].reply = Reply(pieces=pieces[:1], headers={"content-type": "audio/mpeg"}, then="hang")
    response = await passing.cascade.send("/audio/speech", {"model": f"qwen/{agent}", "input": "hello"})
    assert await asyncio.wait_for(response.content.readexactly(1000), 30) == pieces[0], "before its end is known"
    response.close()
    await asyncio.wait_for(passing.engines[agent].cancelled.wait(), 30)
    passing.engines[agent].reply = Reply(pieces=pieces, headers={"content-type": "audio/mpeg"})
    response = await passing.cascade.send("/audio/speech", {"model": f"qwen/{agent}", "input": "hello"})
    assert response.headers["content-type"] == "audio/mpeg"
    assert await response.read() == b"".join(pieces)
    await nothing_is_held(passing)


async def test_events_come_byte_for_byte_and_end_with_an_error_where_they_break(passing: Passing) -> None:
    kind = {"content-type": "text/event-stream; charset=utf-8"}
    pieces = [event({"type": "transcript.text.delta", "delta": "a"}), event({"type": "transcript.text.done"})]
    for agent in ("small", "large"):
        passing.engines[agent].reply = Reply(pieces=pieces, headers=kind, gap=0.01)
        response = await passing.cascade.send("/audio/speech", {"model": f"qwen/{agent}", "stream": True})
        assert await response.read() == b"".join(pieces)
        passing.engines[agent].reply = Reply(pieces=pieces, headers=kind, gap=0.01, then="break")
        response = await passing.cascade.send("/audio/speech", {"model": f"qwen/{agent}", "stream": True})
        assert (await response.read()).startswith(b"".join(pieces) + b'data: {"error"')


@pytest.mark.parametrize("agent", ["small", "large"])
async def test_a_body_that_breaks_is_not_taken_for_whole(passing: Passing, agent: str) -> None:
    passing.engines[agent].reply = Reply(pieces=[b'{"data": '], gap=0.01, then="break")
    response = await passing.cascade.send("/embeddings", {"model": f"qwen/{agent}", "input": "a"})
    assert response.status == 200
    with pytest.raises(aiohttp.ClientPayloadError):
        await response.read()
    await nothing_is_held(passing)


@pytest.mark.parametrize("path", ["/audio/transcriptions", "/audio/translations"])
@pytest.mark.parametrize("agent", ["small", "large"])
async def test_a_form_keeps_every_byte_but_its_model(passing: Passing, path: str, agent: str) -> None:
    passing.engines[agent].reply = Reply(b'{"text": "hello"}')
    response, sent, kind = await passing.form(path, f"qwen/{agent}")
    assert (response.status, await response.read()) == (200, b'{"text": "hello"}')
    engine = passing.engines[agent]
    assert engine.bodies == [sent.replace(f"qwen/{agent}".encode(), f"engine-{agent}".encode())]
    assert (engine.paths, engine.headers[0]["content-type"]) == ([f"/v1{path}"], kind)
    assert SOUND in engine.bodies[0]
    await nothing_is_held(passing)


async def test_an_openai_client_transcribes(passing: Passing) -> None:
    passing.engines["large"].reply = Reply(b'{"text": "hello"}')
    async with passing.cascade.openai() as client:
        said = await client.audio.transcriptions.create(model="qwen/large", file=("a.wav", SOUND), language="en")
        assert said.text == "hello"
        with pytest.raises(openai.BadRequestError, match="name the agent"):
            await client.audio.transcriptions.create(model="qwen", file=("a.wav", SOUND))
    assert b"engine-large" in passing.engines["large"].bodies[0]


async def test_an_openai_client_embeds(passing: Passing) -> None:
    passing.engines["medium"].reply = Reply(VECTORS)
    async with passing.cascade.openai() as client:
        got = await client.embeddings.create(model="qwen/medium", input="a", encoding_format="float")
    assert got.data[0].embedding == [0.25, -1]


async def test_a_form_without_an_agent_is_told_to_name_one(passing: Passing) -> None:
    for model in (None, "qwen"):
        response, _, _ = await passing.form("/audio/transcriptions", model)
        assert (response.status, (await error_of(response))["param"]) == (400, "model")


async def test_a_form_elsewhere_is_not_served(passing: Passing) -> None:
    response, _, _ = await passing.form("/embeddings", "qwen/small")
    assert (response.status, (await error_of(response))["code"]) == (415, "unsupported_media_type")


async def test_a_page_that_may_not_ask_sends_no_form(passing: Passing) -> None:
    """Browsers send a form anywhere without asking first."""
    page = "https://app.example"
    response, _, _ = await passing.form("/audio/transcriptions", "qwen/small", origin=page)
    assert (response.status, (await error_of(response))["code"]) == (403, "origin_not_allowed")
    assert set(passing.asked().values()) == {0}
    passing.cascade.publish(passing.cascade.table(cors_origins=[page]))
    response, _, _ = await passing.form("/audio/transcriptions", "qwen/small", origin=page)
    assert (response.status, response.headers["access-control-allow-origin"]) == (200, page)


async def test_bodies_beyond_the_limit_are_refused(tmp_path: Path) -> None:
    async with any_engine() as engine, cascade(tmp_path, ("only",), engine_url=engine.url, max_body_bytes=4096) as one:
        response = await one.send("/embeddings", {"model": "qwen/only", "input": "x" * 5000})
        assert (response.status, engine.bodies) == (413, [])


async def test_an_api_key_is_asked_for(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "a").write_text("secret")
    (tmp_path / "hop").write_text("token")
    secrets: dict[str, Any] = {"api_keys": keys, "hop_token": tmp_path / "hop"}
    async with any_engine() as engine, cascade(tmp_path, ("only",), engine_url=engine.url, **secrets) as one:
        assert (await one.send("/embeddings", {"model": "qwen/only"})).status == 401
        key = {"authorization": "Bearer secret"}
        assert (await one.send("/embeddings", {"model": "qwen/only"}, headers=key)).status == 200


async def test_a_provider_is_asked_under_its_own_address(tmp_path: Path) -> None:
    async with any_engine() as engine:
        own: dict[str, Any] = {"external": True, "engine_url": f"{engine.url}/v1", "engine_key": "sk-1"}
        own["engine_headers"] = {"x-project": "search"}
        async with cascade(tmp_path, ("only",), **own) as one:
            for path in ("/embeddings", "/tokenize"):
                assert (await one.send(path, {"model": "qwen/only"})).status == 200
        assert engine.paths == ["/v1/embeddings", "/tokenize"]
        assert {(head["authorization"], head["x-project"]) for head in engine.headers} == {("Bearer sk-1", "search")}


async def nothing_is_held(passing: Passing) -> None:
    def held() -> float:
        agents = passing.cascade.agents.values()
        services = [agent.service for agent in agents]
        memory = sum(service.request_memory.used + service.reply_memory.used for service in services)
        return memory + sum(agent.metric("disrouter_inflight_requests") for agent in agents)

    await until(lambda: not held(), 30)
