"""Clients that keep their connections follow when queries enter at another agent; other agents' sidecars stay."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from disrouter.names import HEADER_DEADLINE, HEADER_PATH
from disrouter_sidecar.app import process
from support.sidecars import Cascade

PATIENCE = 10.0


async def test_an_answer_of_an_agent_that_is_not_the_entrypoint_ends_its_clients_connection(three: Cascade) -> None:
    response = await three.ask(agent="medium")
    assert response.status == 200
    assert response.headers["connection"] == "close"
    assert "connection" not in (await three.ask()).headers


async def test_the_sidecars_before_an_agent_keep_their_connections_to_it(three: Cascade) -> None:
    """Asked often enough that the fast path takes hops too."""
    for number in range(6):
        headers = {HEADER_PATH: "small", HEADER_DEADLINE: str(9000 + number)}
        response = await three.ask(agent="medium", headers=headers)
        assert response.status == 200
        assert "connection" not in response.headers


@pytest.mark.parametrize("fast", [True, False])
async def test_a_kept_connection_ends_with_its_next_answer_once_the_entrypoint_has_moved(
    three: Cascade, fast: bool
) -> None:
    """Again and again in the same words, as the fast path wants them, or as an agent's sidecar asks."""
    headers = {} if fast else {"x-request-id": "r"}
    for _ in range(4):
        assert "connection" not in (await three.ask(headers=headers)).headers
    three.publish(three.table(entrypoint="medium"))
    assert (await three.ask(headers=headers)).headers["connection"] == "close"


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *headers: str) -> bytes:
    """One question on a connection that is kept; the reply's head."""
    body = b'{"model": "qwen", "messages": [{"role": "user", "content": "2+2?"}]}'
    lines = ["POST /v1/chat/completions HTTP/1.1", "host: x", "content-type: application/json", *headers]
    writer.write("\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode())
    writer.write(body)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length: "))
    await reader.readexactly(int(length.partition(b": ")[2]))
    return head


async def ends(reader: asyncio.StreamReader, seconds: float) -> bool:
    """Whether the sidecar closes the connection within that time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await reader.read() == b""
    return False


async def test_a_quiet_clients_connection_is_closed_and_a_sidecars_is_not(
    three: Cascade, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "QUIET_SECONDS", 0.5)
    address = urlsplit(three.entry.url)
    client, sidecar = [await asyncio.open_connection(address.hostname, address.port) for _ in range(2)]
    assert b"connection: close" not in await ask(*client)
    assert b"connection: close" not in await ask(*sidecar, f"{HEADER_PATH}: medium")
    assert not await ends(client[0], 1.2), "it stays while queries enter here"
    three.publish(three.table(entrypoint="medium"))
    assert await ends(client[0], PATIENCE)
    assert not await ends(sidecar[0], 0.2)
    for _, writer in (client, sidecar):
        writer.close()
