"""Where a host is: looked up for every connection, remembered for when no name server answers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import pytest

from disrouter_sidecar.errors import UpstreamFailed
from disrouter_sidecar.http.client import addresses
from disrouter_sidecar.http.client.addresses import Addresses
from disrouter_sidecar.http.client.origin import Origin
from disrouter_sidecar.http.client.pool import Pool
from support.raw_http import SECONDS, raw_server

HOST = "pool-large.team.svc"


class Names:
    """A name server that says what it is told to, and counts how often it was asked."""

    def __init__(self, *says: str) -> None:
        self.says: tuple[str, ...] = says
        self.error: OSError | None = None
        self.answers = asyncio.Event()
        self.answers.set()
        self.asked = 0

    async def __call__(self, host: str) -> Sequence[tuple[Any, ...]]:
        self.asked += 1
        await self.answers.wait()
        if self.error is not None:
            raise self.error
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 0)) for each in self.says]


@pytest.fixture
def names() -> Names:
    return Names("10.0.0.1", "10.0.0.2")


async def test_a_name_is_looked_up_again_each_time(names: Names) -> None:
    found = Addresses(names)
    assert await found.of(HOST, SECONDS) == ["10.0.0.1", "10.0.0.2"]
    names.says = ("10.0.0.3",)
    assert await found.of(HOST, SECONDS) == ["10.0.0.3"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_an_address_is_not_looked_up(names: Names, host: str) -> None:
    assert await Addresses(names).of(host, SECONDS) == [host]
    assert names.asked == 0


@pytest.mark.parametrize("code", [socket.EAI_AGAIN, socket.EAI_FAIL])
async def test_the_last_addresses_serve_while_the_name_server_fails(names: Names, code: int) -> None:
    found = Addresses(names)
    before = await found.of(HOST, SECONDS)
    names.error = socket.gaierror(code, "failure in name resolution")
    assert await found.of(HOST, SECONDS) == await found.of(HOST, SECONDS) == before


async def test_the_last_addresses_serve_in_time_while_the_name_server_is_silent(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However little time there is for the connection."""
    monkeypatch.setattr(addresses, "PATIENCE_SECONDS", 1000.0)
    found = Addresses(names)
    before = await found.of(HOST, SECONDS)
    names.answers.clear()
    assert [await found.of(HOST, 0.02) for _ in range(3)] == [before] * 3
    assert names.asked == 2, "a lookup under way is waited for by all"
    names.says = ("10.0.0.3",)
    names.answers.set()
    await asyncio.sleep(0)
    assert await found.of(HOST, SECONDS) == ["10.0.0.3"]


async def test_a_name_that_is_gone_is_forgotten(names: Names) -> None:
    found = Addresses(names)
    await found.of(HOST, SECONDS)
    names.error = socket.gaierror(socket.EAI_NONAME, "unknown")
    for _ in range(2):
        with pytest.raises(socket.gaierror, match="unknown"):
            await found.of(HOST, SECONDS)


async def test_a_name_never_found_fails_as_the_name_server_does(names: Names) -> None:
    names.error = socket.gaierror(socket.EAI_AGAIN, "away")
    with pytest.raises(socket.gaierror, match="away"):
        await Addresses(names).of(HOST, SECONDS)


async def test_many_who_ask_at_once_ask_the_name_server_once(names: Names) -> None:
    found = Addresses(names)
    assert await asyncio.gather(*(found.of(HOST, SECONDS) for _ in range(20))) == [["10.0.0.1", "10.0.0.2"]] * 20
    assert names.asked == 1


async def test_who_stops_waiting_leaves_the_lookup_to_the_others(names: Names) -> None:
    names.answers.clear()
    found = Addresses(names)
    first, second = (asyncio.create_task(found.of(HOST, SECONDS)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    names.answers.set()
    assert await second == ["10.0.0.1", "10.0.0.2"]


async def test_each_address_is_tried_until_one_takes_the_connection() -> None:
    """The resolver of this machine says ::1 and 127.0.0.1, or the latter alone; the server listens on the latter."""
    async with raw_server([]) as server:
        pool = Pool(None)
        await pool.connect(Origin("localhost", server.port, tls=False), SECONDS)
        assert pool.size == 1
        with pytest.raises(UpstreamFailed, match="gaierror"):
            await pool.connect(Origin("no-such-host.invalid", server.port, tls=False), SECONDS)
        await pool.close()
