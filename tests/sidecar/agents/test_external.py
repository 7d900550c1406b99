"""Agents outside the cluster: providers with keys, names, headers, paths, limits and error shapes of their own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from disrouter.routes import Awareness
from disrouter.scenario import PROMPTED_SUFFIX
from disrouter_sidecar.config import Config
from disrouter_sidecar.errors import InvalidConfig
from disrouter_sidecar.openai import Chat
from disrouter_sidecar.openai.provider_errors import error_in_shape
from support.fake_provider import KEY, MODEL, Provider, fake_provider
from support.sidecars import REFUSAL, Cascade, cascade


@pytest.fixture(params=["/v1", "/v1beta/openai", "/openai/deployments/big"])
async def provider(request: pytest.FixtureRequest) -> AsyncIterator[Provider]:
    async with fake_provider(request.param) as made:
        yield made


@pytest.fixture
async def three(tmp_path: Path, provider: Provider) -> AsyncIterator[Cascade]:
    """The middle agent is an external provider's, prompted to refuse; the first one refuses."""
    medium = {"engine_url": provider.url, "engine_model": MODEL, "engine_key": KEY, "external": True}
    headers = {"engine_headers": {"x-organisation": "ours"}}
    async with cascade(tmp_path, only={"medium": {**medium, **headers}}) as made:
        table = made.table()
        agents = dict(table.agents)
        agents["medium"] = replace(agents["medium"], awareness=Awareness.PROMPTED)
        made.publish(replace(table, agents=agents))
        made.scripts(REFUSAL, "unused", "last")
        yield made


@pytest.mark.parametrize("stream", [False, True])
async def test_a_provider_in_the_middle_answers_under_its_own_name_and_key(
    three: Cascade, provider: Provider, stream: bool
) -> None:
    preference = {"scenario": "cost-first"}
    response = await three.ask(headers={"authorization": "Bearer client-key"}, stream=stream, disrouter=preference)
    assert b"four" in await response.read()
    assert response.headers["x-disrouter-path"] == "small,medium"
    assert provider.bodies[0]["model"] == MODEL
    assert PROMPTED_SUFFIX in provider.bodies[0]["messages"][0]["content"]
    assert provider.headers[0]["authorization"] == f"Bearer {KEY}"
    assert provider.headers[0]["x-organisation"] == "ours"
    assert "client-key" not in str(provider.headers)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_provider_in_the_middle_refuses(three: Cascade, provider: Provider, stream: bool) -> None:
    provider.text = REFUSAL
    response = await three.ask(stream=stream)
    assert b"last" in await response.read()
    assert response.headers["x-disrouter-path"] == "small,medium,large"


async def test_a_provider_over_its_quota_is_failed_over(three: Cascade, provider: Provider) -> None:
    provider.limited = 17
    response = await three.ask()
    assert response.headers["x-disrouter-path"] == "small,medium,large"
    assert three.agents["medium"].metric("disrouter_failovers_total", reason="rate_limited") == 1


async def test_where_nobody_else_is_left_its_wait_reaches_the_client_and_its_words_do_not(
    three: Cascade, provider: Provider
) -> None:
    provider.limited = 17
    response = await three.ask("qwen/medium")
    assert response.status == 429
    assert response.headers["retry-after"] == "17"
    error = (await response.json())["error"]
    assert error["type"] == "rate_limit_error"
    assert "org-42" not in str(error)


@pytest.mark.parametrize(
    ("wrong", "reason"), [({"engine_key": "sk-old"}, "auth"), ({"engine_model": "gpt-none"}, "not_found")]
)
async def test_a_wrong_key_or_name_is_the_agents_own_fault(tmp_path: Path, wrong: dict[str, str], reason: str) -> None:
    async with fake_provider() as provider:
        right = {"engine_url": provider.url, "engine_model": MODEL, "engine_key": KEY, "external": True}
        async with cascade(tmp_path, only={"medium": {**right, **wrong}}) as three:
            three.scripts(REFUSAL, "unused", "last")
            response = await three.ask()
            assert response.headers["x-disrouter-path"] == "small,medium,large"
            assert three.agents["medium"].metric("disrouter_failovers_total", reason=reason) == 1


async def test_what_the_client_did_wrong_it_sees_as_openais_clients_read_it(three: Cascade, provider: Provider) -> None:
    response = await three.ask("qwen/medium", best_of=2)
    assert response.status == 400
    assert "Unrecognized request argument" in (await response.json())["error"]["message"]
    for kind, text in (
        ("application/json", '{"detail": "no such argument"}'),
        ("text/html", "<html>Bad Request</html>"),
    ):
        provider.broken = (400, kind, text)
        response = await three.ask("qwen/medium")
        assert (response.status, response.content_type) == (400, "application/json")
        assert (await response.json())["error"]["code"] == "upstream_error"


SHAPES: list[tuple[Any, str]] = [
    ([{"error": {"code": 400, "message": "bad", "status": "INVALID_ARGUMENT"}}], "bad"),
    ({"detail": "bad"}, "bad"),
    ({"detail": [{"loc": ["body", "n"], "msg": "bad", "type": "int_type"}]}, "body.n: bad"),
    ({"type": "error", "error": {"type": "invalid_request_error", "message": "bad"}}, "bad"),
    ({"error": {"detail": "bad"}}, "bad"),
    ({"error": "bad"}, "bad"),
    ({"message": "bad"}, "bad"),
    ({"surprise": 1}, "the agent's engine answered with status 400 and no readable message"),
    (None, "the agent's engine answered with status 400 and no readable message"),
]


@pytest.mark.parametrize(("value", "message"), SHAPES)
def test_other_shapes_of_errors_are_put_into_openais(value: Any, message: str) -> None:
    assert json.loads(error_in_shape(400, json.dumps(value).encode(), Chat()))["error"]["message"] == message


def test_openais_own_shape_and_plain_text_keep_their_words() -> None:
    own = b'{ "error": {"message": "x", "type": "t", "more": 1} }'
    assert error_in_shape(400, own, Chat()) is own
    assert json.loads(error_in_shape(400, b"too long", Chat()))["error"]["message"] == "too long"
    assert len(error_in_shape(400, b"x" * 100_000, Chat())) < 3000


GOOD = {
    "DISROUTER_CASCADE": "qwen",
    "DISROUTER_AGENT": "large",
    "DISROUTER_ENGINE_URL": "https://example.test/openai/v1/",
    "DISROUTER_ENGINE_MODEL": MODEL,
    "DISROUTER_ENGINE_KEY": KEY,
    "DISROUTER_EXTERNAL": "true",
    "DISROUTER_ROUTES": "/routes.json",
}


def test_the_base_address_of_a_provider_is_taken_as_it_is() -> None:
    assert Config.from_env(GOOD).engine_base == "https://example.test/openai/v1"
    assert Config.from_env({**GOOD, "DISROUTER_EXTERNAL": ""}).engine_base == "https://example.test/openai/v1/v1"


def test_headers_come_in_pairs_and_authorization_replaces_the_key() -> None:
    pairs = {
        "DISROUTER_HEADER_0_NAME": "Authorization",
        "DISROUTER_HEADER_0_VALUE": "Basic abc\n",
        "DISROUTER_HEADER_1_NAME": "api-key",
        "DISROUTER_HEADER_1_VALUE": "k",
        "DISROUTER_HEADER_3_NAME": "behind-a-gap",
    }
    config = Config.from_env({**GOOD, **pairs})
    assert config.engine_bearer == {"authorization": "Basic abc", "api-key": "k"}
    assert "abc" not in repr(config)
    assert KEY not in repr(config)


@pytest.mark.parametrize("name", ["Host", "content-length", "bad name", "x:y"])
def test_a_header_that_cannot_be_set_is_named(name: str) -> None:
    with pytest.raises(InvalidConfig, match="DISROUTER_HEADER_0_NAME"):
        Config.from_env({**GOOD, "DISROUTER_HEADER_0_NAME": name, "DISROUTER_HEADER_0_VALUE": "v"})


def test_api_keys_need_a_hop_token() -> None:
    with pytest.raises(InvalidConfig, match="DISROUTER_HOP_TOKEN"):
        Config.from_env({**GOOD, "DISROUTER_API_KEYS": "/keys"})
