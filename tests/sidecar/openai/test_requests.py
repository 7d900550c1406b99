"""Every wrong request gets an error in OpenAI's shape that names the field, and the next good one is served."""

from __future__ import annotations

import inspect
import io
import json
import sys
import time
from collections.abc import Iterator
from typing import Any, cast

import openai
import pytest
from aiohttp import FormData

from disrouter.errors import InvalidRequest
from disrouter.routes import RouteTable
from disrouter_sidecar.errors import Rejected
from disrouter_sidecar.openai import Chat, query
from support.raw_http import talk
from support.sidecars import Cascade

HELLO = [{"role": "user", "content": "hello"}]


def body(**changes: Any) -> bytes:
    return json.dumps({"model": "qwen", "messages": HELLO} | changes).encode()


WRONG: list[tuple[str, bytes, dict[str, str], int, str | None]] = [
    ("no JSON", b"{", {}, 400, None),
    ("empty", b"", {}, 400, None),
    ("bytes that are no text", b"\xff\xfe", {}, 400, None),
    ("a list", b"[]", {}, 400, None),
    ("a lone surrogate", b'{"model": "\\ud800", "messages": []}', {}, 400, None),
    ("deep nesting", b"[" * 60_000, {}, 400, None),
    ("deep nesting in a field", body(x=0).replace(b"0", b"[" * 900 + b"]" * 900), {}, 400, None),
    ("no model", json.dumps({"messages": HELLO}).encode(), {}, 400, "model"),
    ("model not text", body(model=1), {}, 400, "model"),
    ("unknown model", body(model="gpt-4"), {}, 404, "model"),
    ("unknown agent", body(model="qwen/huge"), {}, 404, "model"),
    ("agent missing after the slash", body(model="qwen/"), {}, 404, "model"),
    ("no messages", json.dumps({"model": "qwen"}).encode(), {}, 400, "messages"),
    ("messages not a list", body(messages="hello"), {}, 400, "messages"),
    ("no message in messages", body(messages=[]), {}, 400, "messages"),
    ("a message that is no object", body(messages=["hello"]), {}, 400, "messages[0]"),
    ("a message without role", body(messages=[*HELLO, {"content": "x"}]), {}, 400, "messages[1]"),
    ("content of a wrong type", body(messages=[{"role": "user", "content": 1}]), {}, 400, "messages[0].content"),
    ("stream not boolean", body(stream="yes"), {}, 400, "stream"),
    ("extension not an object", body(disrouter="cost-first"), {}, 400, "disrouter"),
    ("unknown field in the extension", body(disrouter={"scenaro": "balance"}), {}, 400, "disrouter"),
    ("bad scenario", body(disrouter={"scenario": "fast"}), {}, 400, "disrouter.scenario"),
    ("scenario not text", body(disrouter={"scenario": 1}), {}, 400, "disrouter.scenario"),
    ("preference out of range", body(disrouter={"preference": 1.5}), {}, 400, "disrouter.preference"),
    ("preference not a number", body(disrouter={"preference": True}), {}, 400, "disrouter.preference"),
    ("bad scenario in the header", body(), {"x-disrouter-scenario": "fast"}, 400, "x-disrouter-scenario"),
    ("bad preference in the header", body(), {"x-disrouter-preference": "much"}, 400, "x-disrouter-preference"),
    ("preference not finite", body(), {"x-disrouter-preference": "nan"}, 400, "x-disrouter-preference"),
    ("a path of nonsense", body(), {"x-disrouter-path": "../etc"}, 400, "x-disrouter-path"),
    ("a path without end", body(), {"x-disrouter-path": ",".join(["a"] * 65)}, 400, "x-disrouter-path"),
    ("a packed body", body(), {"content-encoding": "gzip"}, 415, "content-encoding"),
]


@pytest.mark.parametrize(
    ("sent", "headers", "status", "param"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG]
)
async def test_a_wrong_request_is_told_what_is_wrong(
    three: Cascade, sent: bytes, headers: dict[str, str], status: int, param: str | None
) -> None:
    response = await three.post(sent, headers=headers)
    error = (await response.json(content_type="application/json"))["error"]
    assert response.status == status
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert three.entry.engine.bodies == []
    assert (await three.ask()).status == 200


async def test_an_unknown_model_is_told_the_known_ones(three: Cascade) -> None:
    error = (await (await three.ask("gpt-4")).json())["error"]
    assert error["code"] == "model_not_found"
    assert "qwen, qwen/small, qwen/medium, qwen/large" in error["message"]


async def test_a_body_over_the_limit_is_refused_before_it_is_parsed(three: Cascade) -> None:
    response = await three.post(b"x" * (4 * 1024 * 1024 + 1))
    assert response.status == 413
    assert (await response.json())["error"]["code"] == "request_too_large"
    assert (await three.ask()).status == 200


async def test_a_long_prompt_under_the_limit_passes(three: Cascade) -> None:
    response = await three.ask(messages=[{"role": "user", "content": "x" * 4_000_000}])
    assert response.status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("POST", "/v1/fine_tuning/jobs", 404),
        ("GET", "/v1/chat/completions", 405),
        ("DELETE", "/v1/models", 405),
        ("GET", "/v1/../etc/passwd", 404),
    ],
)
async def test_unknown_paths_and_methods_get_the_same_shape(
    three: Cascade, method: str, path: str, status: int
) -> None:
    response = await three.http.request(method, three.entry.url + path)
    assert response.status == status
    assert (await response.json())["error"]["code"] == "unknown_url"


@pytest.mark.parametrize(
    ("method", "path", "size", "status"),
    [
        ("POST", "/v1/messages/batches", 2, 404),
        ("GET", "/v1/messages/batches/one", 0, 404),
        ("GET", "/v1/messages", 0, 405),
        ("POST", "/v1/messages", 99_999_999, 413),
    ],
)
async def test_errors_before_a_messages_request_is_read_are_anthropics_too(
    three: Cascade, method: str, path: str, size: int, status: int
) -> None:
    response = await three.http.request(method, three.entry.url + path, data=io.BytesIO(b" " * size))
    body = await response.json()
    assert (response.status, body["type"]) == (status, "error")
    assert {"type", "message"} <= body["error"].keys()


async def test_a_form_is_not_json(three: Cascade) -> None:
    response = await three.http.post(f"{three.entry.url}/v1/chat/completions", data=FormData({"model": "qwen"}))
    assert response.status == 415


async def test_the_openai_client_gets_its_own_exceptions(three: Cascade) -> None:
    async with three.openai() as client:
        with pytest.raises(openai.NotFoundError, match="known: qwen"):
            await client.chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": "x"}])
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(
                model="qwen", messages=[{"role": "user", "content": "x"}], extra_body={"disrouter": {"scenario": "x"}}
            )
        assert caught.value.param == "disrouter.scenario"


async def test_models_are_the_cascade_and_its_agents(three: Cascade) -> None:
    async with three.openai() as client:
        names = [model.id async for model in client.models.list()]
        assert names == ["qwen", "qwen/small", "qwen/medium", "qwen/large"]
        assert (await client.models.retrieve("qwen/small")).owned_by == "disrouter"
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("qwen/huge")


@pytest.mark.parametrize("padding", [0, 1000, 5000])
@pytest.mark.parametrize("number", [2**63, 2**64, -(2**63) - 1, 10**30, 12345678901234567890123])
async def test_whole_numbers_of_any_size_reach_the_engine_as_they_are(
    three: Cascade, number: int, padding: int
) -> None:
    sent: dict[str, Any] = {"seed": number, "metadata": {"deep": [{"x": number}]}, "pad": [1.5] * padding}
    assert (await three.ask(**sent)).status == 200
    got = three.entry.engine.bodies[-1]
    assert {name: got[name] for name in sent} == sent


@pytest.fixture
def shallow() -> Iterator[None]:
    """As in a sidecar, whatever the other tests have done to the limit: little is left to recurse."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 120)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("shallow")
def test_nesting_beside_a_long_number_is_refused_when_read_and_when_written() -> None:
    """Whole numbers beyond 64 bits take Python's own reader and writer, which recurse."""
    raw = body(x=10**30)[:-1] + b', "y": ' + b"[" * 240 + b"]" * 240 + b"}"
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        query.parse(raw, Chat(), cast(RouteTable, None))
    deep: list[Any] = []
    for _ in range(240):
        deep = [deep]
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        query.dumps({"x": 10**30, "y": deep})


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "application/json; charset=utf-8"}, 200),
        ({"content-type": "Application/JSON"}, 200),
        ({}, 200),
        ({"origin": "https://evil.example"}, 415),
        ({"content-type": ""}, 415),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "text/plain", "origin": "https://evil.example"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "application/jsonx"}, 415),
    ],
)
@pytest.mark.parametrize("api", ["/chat/completions", "/completions", "/responses"])
async def test_only_json_is_taken(three: Cascade, api: str, headers: dict[str, str], status: int) -> None:
    """A page of any origin may send a form's types to a sidecar on its reader's machine, without asking first."""
    raw = json.dumps({"model": "qwen", "messages": HELLO, "prompt": "hello", "input": "hello"}).encode()
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST /v1{api} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{lines}content-length: {len(raw)}\r\n\r\n"
    got = await talk(int(three.entry.url.rpartition(":")[2]), head.encode() + raw)
    assert got.startswith(b"HTTP/1.1 %d " % status)
    if status == 415:
        assert b"application/json" in got.partition(b"\r\n\r\n")[2]
        assert three.entry.engine.bodies == []


@pytest.mark.parametrize(
    ("many", "status"),
    [
        ({"messages": HELLO * 60_000}, 200),
        ({"messages": HELLO * 70_000}, 413),
        ({"x": [[]] * 70_000}, 413),
        ({"x": [[[]]] * 40_000}, 413),
        ({"x": list(range(500_000))}, 200),
        ({"x": '{"[' * 400_000}, 200),
        ({"x": "\\" * 400_000 + "{" * 100_000}, 200),
    ],
    ids=["messages", "too many messages", "lists", "lists in lists", "numbers", "text", "backslashes"],
)
async def test_a_body_of_very_many_values_is_refused_before_it_is_parsed(
    three: Cascade, many: dict[str, Any], status: int
) -> None:
    """Else one of them would stop every stream for half a second."""
    response = await three.post(body(**many))
    assert response.status == status
    if status == 413:
        assert "objects and lists" in (await response.json())["error"]["message"]
    assert await three.said(await three.ask()) == ("small", "four")


@pytest.mark.parametrize("unit", [b'\\"', b'"{', b"\\", b'{"[', b'"'])
def test_counting_values_takes_no_longer_for_what_is_no_json(unit: bytes) -> None:
    for raw in (b'"' + unit * 300_000 + b"{" * 70_000, b"{" * 70_000 + b'"' + unit * 300_000):
        began = time.perf_counter()
        with pytest.raises((InvalidRequest, Rejected)):
            query.loads(raw)
        assert time.perf_counter() - began < 2
