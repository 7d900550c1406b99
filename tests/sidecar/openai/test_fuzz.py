"""Whatever comes over the socket: no 5xx that is ours, nothing held afterwards, and the next good request is served."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from disrouter_sidecar.openai import DIALECTS, PASS_THROUGH, Chat, openapi
from support.fake_engine import fake_engine
from support.local import until
from support.sidecar_process import process
from support.sidecars import URL_OF_NOBODY, Agent, Cascade, open_files

_QUICK = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)
MOST_LEFT = 12
"""Connections that are kept for the next request: the client's, and those of the sidecars to engines and agents."""
GOOD = json.dumps({"model": "qwen", "messages": [{"role": "user", "content": "x"}]}).encode()


async def test_the_published_document_describes_what_is_served(three: Cascade) -> None:
    async with three.http.get(f"{three.entry.url}/openapi.json") as response:
        published = await response.json()
    assert published == json.loads(json.dumps(openapi.document(DIALECTS, PASS_THROUGH, published["info"]["version"])))
    for path, methods in published["paths"].items():
        for method in methods:
            url = three.entry.url + path.replace("{model}", "qwen")
            async with three.http.request(method, url, data=GOOD if path == "/v1/chat/completions" else None) as reply:
                assert reply.status != 405, f"{method} {path}"
                assert path.startswith("/v1/") or reply.status == 200, f"{method} {path}"
    async with three.http.get(f"{three.entry.url}/nowhere") as response:
        listed = (await response.json())["error"]["message"].partition("see ")[2].split(", ")
    described = [f"{method.upper()} {path}" for path, methods in published["paths"].items() for method in methods]
    assert {each.replace("/*", "/{model}") for each in listed} == {each for each in described if "/v1/" in each}


async def test_requests_made_from_the_published_document_meet_it(three: Cascade) -> None:
    schema = schemathesis.openapi.from_dict(openapi.document(DIALECTS, PASS_THROUGH, "0"))
    checks: list[Any] = [not_a_server_error, response_schema_conformance, content_type_conformance]
    url = three.entry.url

    def drive(strategy: st.SearchStrategy[Any]) -> None:
        @settings(_QUICK, max_examples=25)
        @given(case=strategy)
        def ask(case: Any) -> None:
            if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
                case.body["model"] = "qwen"
            case.call_and_validate(base_url=url, checks=checks)

        ask()

    for methods in schema.values():
        for method in methods:
            await asyncio.to_thread(drive, methods[method].as_strategy())
    await nothing_is_held(three)


HEADS = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(GOOD),
    b"POST /v1/responses HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
    b"GET /v1/models/qwen HTTP/1.1\r\nhost: a\r\n\r\n",
    b"POST /v1/completions HTTP/1.0\r\nx-disrouter-path: small\r\ncontent-length: 4\r\n\r\n",
)
heads = st.sampled_from(HEADS)
places = st.floats(min_value=0, max_value=1, exclude_max=True)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A request with some of its bytes changed, cut out or added."""
    message = bytearray(draw(heads) + draw(st.sampled_from([GOOD, b"4\r\n{}[]\r\n0\r\n\r\n", b""])))
    for _ in range(draw(st.integers(0, 4))):
        place = int(draw(places) * (len(message) or 1))
        message[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
    return bytes(message)


async def test_bytes_that_are_hardly_http_are_answered_or_closed(three: Cascade) -> None:
    parts = urlsplit(three.entry.url)

    @_QUICK
    @given(st.lists(st.one_of(st.binary(max_size=200), mutated()), min_size=1, max_size=4))
    def send(pieces: list[bytes]) -> None:
        with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
            try:
                for piece in pieces:
                    connection.sendall(piece)
                connection.shutdown(socket.SHUT_WR)
                told = b"".join(iter(lambda: connection.recv(65536), b""))
            except ConnectionError:
                return
        assert told == b"" or told.startswith(b"HTTP/1.")
        assert not told.startswith(b"HTTP/1.1 500")

    await asyncio.to_thread(send)
    await nothing_is_held(three)


async def test_json_of_any_shape_in_any_field_is_answered_or_told_what_is_wrong(three: Cascade) -> None:
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=12,
    )
    fields = ("messages", "prompt", "input", "stream", "n", "disrouter", "tools", "echo", "stop", "stream_options")
    bodies = st.dictionaries(st.sampled_from(fields), values)
    loop = asyncio.get_running_loop()

    async def post(path: str, body: bytes) -> None:
        response = await three.send(path, body)
        text = await response.read()
        assert response.status in (200, 400), (response.status, text, body)
        if response.status == 400:
            assert json.loads(text)["error"]["message"]

    @_QUICK
    @given(st.sampled_from([dialect.path for dialect in DIALECTS]), bodies)
    def send(path: str, body: dict[str, Any]) -> None:
        raw = json.dumps({"model": "qwen", **body}).encode()
        asyncio.run_coroutine_threadsafe(post(path, raw), loop).result(60)

    await asyncio.to_thread(send)
    await nothing_is_held(three)


def pelt(url: str, seed: int) -> None:
    """Two hundred clients that send bytes which are hardly a request; some leave without a word."""
    chance, parts = random.Random(seed), urlsplit(url)
    for _ in range(200):
        message = bytearray(chance.choice(HEADS) + chance.choice([GOOD, b"4\r\n{}[]\r\n0\r\n\r\n", b"\r\n" * 9000]))
        for _ in range(chance.randrange(4)):
            place = chance.randrange(len(message))
            message[place : place + chance.randrange(3)] = chance.randbytes(chance.randrange(4))
        address = (parts.hostname, parts.port)
        with suppress(ConnectionError), socket.create_connection(address, timeout=30) as connection:
            connection.sendall(message)
            connection.shutdown(socket.SHUT_WR)
            if chance.random() < 0.8:
                connection.recv(65536)


async def test_rubbish_again_and_again_leaves_neither_memory_nor_connections(tmp_path: Path) -> None:
    few = {"kept_decisions": 16}  # what is remembered on purpose would grow for longer than the first look takes
    async with (
        fake_engine() as engine,
        process(tmp_path, engine.url, {"large": URL_OF_NOBODY}, changes=few) as running,
    ):
        for seed in range(3):
            await asyncio.to_thread(pelt, running.url, seed)
        await until(lambda: running.files() <= running.files_at_first + MOST_LEFT, 30)
        before = running.memory()
        for seed in range(3, 13):
            await asyncio.to_thread(pelt, running.url, seed)
        await until(lambda: running.files() <= running.files_at_first + MOST_LEFT, 30)
        assert running.memory() - before < 3


async def nothing_is_held(three: Cascade) -> None:
    """Every byte, every request and every connection is given back, and a good request is served."""
    assert (await three.send(Chat.path, GOOD)).status == 200
    await until(lambda: not any(map(held, three.agents.values())), 60)
    await until(lambda: open_files() <= three.files + MOST_LEFT, 60)


def held(agent: Agent) -> float:
    service = agent.service
    return service.request_memory.used + service.reply_memory.used + agent.metric("disrouter_inflight_requests")
