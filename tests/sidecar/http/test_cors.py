"""Which pages of other origins may ask, and what their browsers let them read of the replies."""

from __future__ import annotations

import io
from pathlib import Path

import aiohttp
import pytest

from support.fake_engine import Script
from support.sidecars import Cascade, cascade

PAGE, STRANGER = "https://app.example", "https://evil.example"
CHAT = "/v1/chat/completions"
ALLOWED, EXPOSED = "access-control-allow-origin", "access-control-expose-headers"
ASKING = {"origin": PAGE, "access-control-request-method": "POST"}


async def preflight(three: Cascade, path: str = CHAT, **headers: str) -> aiohttp.ClientResponse:
    asked = {**ASKING, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return await three.http.options(three.entry.url + path, headers=asked)


def allow(three: Cascade, *origins: str) -> None:
    three.publish(three.table(cors_origins=list(origins)))


@pytest.mark.parametrize(("origins", "told"), [((PAGE,), PAGE), (("*",), "*"), ((STRANGER, PAGE), PAGE)])
async def test_a_page_of_an_allowed_origin_asks_and_reads(three: Cascade, origins: tuple[str, ...], told: str) -> None:
    allow(three, *origins)
    asked = await preflight(three, access_control_request_headers="authorization, content-type,X-Request-ID")
    assert (asked.status, await asked.read()) == (204, b"")
    assert asked.headers[ALLOWED] == told
    assert asked.headers["access-control-allow-methods"] == "POST"
    assert asked.headers["access-control-allow-headers"] == "authorization, content-type,X-Request-ID"
    assert asked.headers["access-control-max-age"] == "600"
    assert asked.headers.get("vary") == (None if told == "*" else "Origin")
    for fields in ({}, {"stream": True}, {"model": "nobody"}):
        reply = await three.ask(headers={"origin": PAGE}, **fields)
        assert reply.headers.getall(ALLOWED) == [told]
        assert {"x-request-id", "x-disrouter-path", "x-disrouter-refused-usage", "retry-after"} <= set(
            reply.headers[EXPOSED].split(", ")
        )
        await reply.read()
    assert "access-control-request-method" not in three.entry.engine.headers[0]
    for path, methods in (("/v1/models", "GET"), ("/v1/models/qwen", "GET"), ("/v1/responses", "POST")):
        assert (await preflight(three, path)).headers["access-control-allow-methods"] == methods


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        (CHAT, b"{", {}, 400),
        (CHAT, b"{}", {"content-type": "text/plain"}, 415),
        (CHAT, b"{}", {"content-encoding": "gzip"}, 415),
        (CHAT, b"x" * 5_000_000, {}, 413),
        ("/v1/nothing", b"{}", {}, 404),
        ("/v1/models", b"{}", {}, 405),
    ],
)
async def test_an_error_can_be_read_too(
    three: Cascade, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    allow(three, PAGE)
    reply = await three.http.post(
        three.entry.url + path,
        data=io.BytesIO(body),
        headers={"content-type": "application/json", "origin": PAGE, **headers},
    )
    assert (reply.status, reply.headers.get(ALLOWED)) == (status, PAGE)


async def test_a_page_of_a_foreign_origin_reads_nothing(three: Cascade) -> None:
    allow(three, PAGE)
    asked = await preflight(three, origin=STRANGER)
    assert asked.status == 403
    assert (await asked.json())["error"]["code"] == "origin_not_allowed"
    for reply in (asked, await three.ask(headers={"origin": STRANGER}), await three.ask()):
        assert not [name for name in reply.headers if name.lower().startswith("access-control")]
    for near in ("https://app.example.evil", "http://app.example", "https://app.example:444", "null", "*"):
        assert (await preflight(three, origin=near)).status == 403


async def test_what_is_outside_the_apis_is_read_by_no_page(three: Cascade) -> None:
    allow(three, "*")
    assert (await preflight(three, "/metrics")).status == 405
    reply = await three.http.get(f"{three.entry.url}/metrics", headers={"origin": PAGE})
    assert (reply.status, reply.headers.get(ALLOWED)) == (200, None)


@pytest.mark.parametrize("asked", ["x y", "content-type,", "content-type;x", "x" * 1025])
async def test_what_is_no_header_is_not_allowed(three: Cascade, asked: str) -> None:
    allow(three, PAGE)
    reply = await preflight(three, access_control_request_headers=asked)
    assert reply.status == 400
    assert "access-control-allow-headers" not in reply.headers


async def test_the_origins_follow_the_route_table(three: Cascade) -> None:
    for origins, status in (((), 405), ((PAGE,), 204), ((STRANGER,), 403), ((), 405)):
        allow(three, *origins)
        assert (await preflight(three)).status == status
        assert ((await three.ask(headers={"origin": PAGE})).headers.get(ALLOWED) is not None) is (status == 204)


async def test_options_that_are_no_preflight_stay_unknown(three: Cascade) -> None:
    allow(three, PAGE)
    for headers in ({}, {"origin": PAGE}, {"access-control-request-method": "POST"}):
        assert (await three.http.options(three.entry.url + CHAT, headers=headers)).status == 405
    assert (await preflight(three, "/v1/nothing")).status == 404


async def test_a_browser_asks_before_its_page_shows_a_key(tmp_path: Path) -> None:
    keys, token = tmp_path / "keys", tmp_path / "token"
    keys.mkdir()
    (keys / "alice").write_text("sk-alice")
    token.write_text("hop")
    async with cascade(tmp_path, api_keys=keys, hop_token=token) as three:
        allow(three, PAGE)
        assert (await preflight(three, access_control_request_headers="authorization")).status == 204
        refused = await three.ask(headers={"origin": PAGE})
        assert (refused.status, refused.headers[ALLOWED]) == (401, PAGE)
        three.entry.engine.script = Script(text="four")
        assert (await three.ask(headers={"origin": PAGE, "authorization": "Bearer sk-alice"})).status == 200
