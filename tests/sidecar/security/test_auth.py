"""Who may ask: API keys for clients, the hop token between sidecars, and what is dropped from everybody else."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest

from disrouter_sidecar.errors import InvalidConfig, Rejected
from disrouter_sidecar.security.auth import MAX_KEY_BYTES, Authenticator
from support.raw_http import talk
from support.sidecars import REFUSAL, Cascade, cascade, config_of, sidecar

HOP = "hop-token-1234"
ALICE, BOB = "sk-alice-key", "sk-bob-key"


@pytest.fixture
def mounts(tmp_path: Path) -> tuple[Path, Path]:
    """A Secret as the kubelet mounts it, and a token's file."""
    data = tmp_path / "..2026"
    data.mkdir()
    for name, key in (("alice", ALICE), ("bob", f"{BOB}\n")):
        (data / name).write_text(key)
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "..data").symlink_to(data)
    for name in ("alice", "bob"):
        (keys / name).symlink_to(keys / "..data" / name)
    token = tmp_path / "token"
    token.write_text(f"{HOP}\n")
    return keys, token


@pytest.fixture
async def guarded(tmp_path: Path, mounts: tuple[Path, Path]) -> AsyncIterator[Cascade]:
    async with cascade(tmp_path, api_keys=mounts[0], hop_token=mounts[1]) as three:
        yield three


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.mark.parametrize("key", [ALICE, BOB])
async def test_a_client_with_a_key_is_routed_and_its_key_stays_at_the_entry(guarded: Cascade, key: str) -> None:
    guarded.scripts(REFUSAL, REFUSAL, "four")
    response = await guarded.ask(headers=bearer(key))
    assert await guarded.said(response) == ("small,medium,large", "four")
    for agent in guarded.agents.values():
        assert all("authorization" not in headers for headers in agent.engine.headers)


@pytest.mark.parametrize("agent", ["small", "medium", "large"])
async def test_no_agent_is_a_way_past_the_key(guarded: Cascade, agent: str) -> None:
    """Each may become the entry at any moment, so each asks; with a key a direct request is what a pinned one is."""
    assert (await guarded.ask(agent=agent)).status == 401
    assert (await guarded.ask(agent=agent, headers=bearer("wrong"))).status == 401
    assert guarded.agents[agent].engine.bodies == []
    direct = await guarded.said(await guarded.ask(agent=agent, headers=bearer(ALICE)))
    pinned = await guarded.said(await guarded.ask(f"qwen/{agent}", headers=bearer(ALICE)))
    assert direct[1] == pinned[1]


async def test_why_a_request_was_answered_so_is_told_to_clients_with_a_key_only(guarded: Cascade) -> None:
    await (await guarded.ask(headers=bearer(ALICE) | {"x-request-id": "asked"})).read()
    url = f"{guarded.entry.url}/disrouter/v1/decisions/asked"
    for headers, status in (({}, 401), (bearer("wrong"), 401), (bearer(BOB), 200)):
        async with guarded.http.get(url, headers=headers) as response:
            assert response.status == status


async def test_a_stranger_cannot_fill_the_memory_with_bodies(guarded: Cascade) -> None:
    """A head without a key is refused before its large body comes, also one that comes in chunks."""
    port = int(guarded.entry.url.rpartition(":")[2])
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
    for framing in (b"content-length: 4000000\r\n\r\n", b"transfer-encoding: chunked\r\n\r\n"):
        assert b" 401 " in (await talk(port, head + framing)).partition(b"\r\n")[0]
    assert guarded.entry.service.request_memory.used == 0
    large = {"content": "x" * 100_000, "role": "user"}
    assert (await guarded.ask(headers=bearer(ALICE), messages=[large])).status == 200


@pytest.mark.parametrize(
    "headers", [{}, bearer("sk-alice-ke"), bearer(""), {"authorization": f"Basic {ALICE}"}, {"authorization": ALICE}]
)
async def test_nobody_else_gets_in(guarded: Cascade, headers: dict[str, str]) -> None:
    response = await guarded.ask(headers=headers)
    assert response.status == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert (await response.json())["error"]["code"] == "invalid_api_key"
    assert response.headers["x-request-id"]
    ended = {"cascade": "qwen", "agent": "small", "outcome": "invalid_api_key"}
    assert guarded.entry.metric("disrouter_requests_total", **ended) == 1
    assert guarded.entry.engine.bodies == []
    for path, status in (("/v1/models", 401), ("/v1/models/qwen", 401), ("/healthz", 200), ("/metrics", 200)):
        async with guarded.http.get(guarded.entry.url + path, headers=headers) as reply:
            assert reply.status == status, path


@pytest.mark.parametrize("key", ["schl\u00fcssel", "cl\u00e0", "\u9375"])
async def test_a_key_need_not_be_ascii(guarded: Cascade, mounts: tuple[Path, Path], key: str) -> None:
    (mounts[0] / "carol").write_text(key, encoding="utf-8")
    guarded.entry.service.authenticator.poll()
    port = int(guarded.entry.url.rpartition(":")[2])
    head = f"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\r\n"
    assert (await talk(port, head.encode())).startswith(b"HTTP/1.1 200 ")
    assert (await talk(port, head.replace(key, key + "x").encode())).startswith(b"HTTP/1.1 401 ")


async def test_the_openai_client_raises_its_own_exception(guarded: Cascade) -> None:
    async with guarded.openai() as client:
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()


async def test_internal_headers_from_outside_are_dropped_and_from_sidecars_believed(guarded: Cascade) -> None:
    faked = {"x-disrouter-path": "small", "x-disrouter-deadline": "1"}
    response = await guarded.ask(headers={**bearer(ALICE), **faked})
    assert response.status == 200, "from outside neither a loop nor a deadline of a millisecond"
    assert response.headers["x-disrouter-path"] == "small"
    assert (await guarded.ask(headers={**bearer(HOP), "x-disrouter-path": "small"})).status == 508


async def test_a_deadline_without_meaning_is_only_an_error_where_it_is_believed(guarded: Cascade) -> None:
    assert (await guarded.ask(headers={**bearer(ALICE), "x-disrouter-path": "../etc"})).status == 200
    assert (await guarded.ask(headers={**bearer(HOP), "x-disrouter-path": "../etc"})).status == 400


async def test_no_key_and_no_words_reach_the_logs(
    guarded: Cascade, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    guarded.scripts(REFUSAL, "secret answer", "unused")
    with caplog.at_level(logging.DEBUG, logger="disrouter_sidecar"):
        await guarded.ask(headers=bearer(ALICE), messages=[{"role": "user", "content": "secret question"}])
        await guarded.ask(headers=bearer("sk-wrong-key"))
        await guarded.post(b'{"secret question', headers=bearer(ALICE))
        for agent in guarded.agents.values():
            agent.service.authenticator.poll()
    told = "".join(str(vars(record)) for record in caplog.records) + "".join(capfd.readouterr())
    assert "small,medium" in told
    for secret in (ALICE, HOP, "sk-wrong-key", "secret question", "secret answer"):
        assert secret not in told


def test_keys_are_read_again_when_the_secret_changes(mounts: tuple[Path, Path], tmp_path: Path) -> None:
    keys, token = mounts
    authenticator = Authenticator(keys, token)
    authenticator.admit(bearer(BOB))
    fresh = tmp_path / "..2027"
    fresh.mkdir()
    (fresh / "alice").write_text("sk-renewed")
    (keys / "..next").symlink_to(fresh)
    (keys / "..next").rename(keys / "..data")
    authenticator.admit(bearer(ALICE))
    authenticator.poll()
    authenticator.admit(bearer("sk-renewed"))
    for gone in (ALICE, BOB):
        with pytest.raises(Rejected):
            authenticator.admit(bearer(gone))


def test_a_hop_token_is_rotated_line_by_line(mounts: tuple[Path, Path]) -> None:
    keys, token = mounts
    authenticator = Authenticator(keys, token)
    token.write_text(f"next-token\n{HOP}\n")
    authenticator.poll()
    assert authenticator.hop_headers() == bearer("next-token")
    inside = {"x-disrouter-path": "small"}
    for accepted in (HOP, "next-token"):
        assert authenticator.admit({**bearer(accepted), **inside})["x-disrouter-path"] == "small"


def test_an_unusable_file_keeps_the_last_one_and_tells_once_without_its_words(
    mounts: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    keys, token = mounts
    authenticator = Authenticator(keys, token)
    for text in ("broken\x07token", " \n", "x" * (MAX_KEY_BYTES + 1)):
        token.write_text(text)
        authenticator.poll()
        authenticator.poll()
        assert authenticator.hop_headers() == bearer(HOP)
    token.unlink()
    authenticator.poll()
    assert authenticator.hop_headers() == bearer(HOP)
    told = [str(vars(record)) for record in caplog.records]
    assert len(told) == 3, "two of the four say the same"
    assert not any("broken" in line for line in told)


def test_an_empty_secret_admits_nobody(tmp_path: Path, mounts: tuple[Path, Path]) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(Rejected):
        Authenticator(tmp_path / "none", mounts[1]).admit(bearer(ALICE))


async def test_a_sidecar_does_not_start_without_its_secrets(tmp_path: Path, mounts: tuple[Path, Path]) -> None:
    config = config_of("small", "http://127.0.0.1:9", tmp_path / "routes.json", hop_token=tmp_path / "missing")
    with pytest.raises(InvalidConfig, match="missing"):
        async with sidecar(config):
            pass
    with pytest.raises(InvalidConfig, match="not a folder"):
        Authenticator(mounts[1], mounts[1])
