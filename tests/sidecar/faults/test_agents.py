"""Engines and next agents that die, hang, drip or flap, on real sockets, with a ledger of every request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from disrouter.routes import Breaker, Fallback, FallbackPolicy, Timeouts
from support.fake_engine import delta, whole_of
from support.load import Load
from support.origin import Behaviour, Exchange, Origin, origin, saying
from support.sidecar_process import process
from support.sidecars import REFUSAL

MEMORY = 200.0
"""MiB that a sidecar may hold under these loads; its container has 512."""
CLIENTS, EACH = 16, 20
QUICK = Timeouts(connect=1.0, first_byte=2.0, idle=2.0, whole=2.0, chain=120.0)
NEVER_OPEN = Breaker(failures=1000)
"""So that every request meets the fault, not only the first few."""


@pytest.fixture
async def large() -> AsyncIterator[Origin]:
    """A next agent that always answers."""
    async with origin(saying("four", {"x-disrouter-agent": "large", "x-disrouter-path": "small,large"})) as built:
        yield built


async def dies_at_once(exchange: Exchange) -> None:
    exchange.reset()


async def dies_in_its_head(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-ty")
    exchange.reset()


async def dies_undecided(exchange: Exchange) -> None:
    if exchange.body["stream"]:
        await exchange.head()
        await exchange.piece(delta(content="I don"))
    else:
        await exchange.whole(whole_of("I don")[:40], missing=9)
    exchange.reset()


async def hangs(exchange: Exchange) -> None:
    await asyncio.sleep(3600)


async def drips_its_head(exchange: Exchange) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nx-slow: " + b"s" * 10_000:
        await exchange.send(bytes([byte]))
        await asyncio.sleep(0.1)


async def talks_nonsense(exchange: Exchange) -> None:
    await exchange.send(b"\x16\x03\x01 SSH-2.0 220 ready\r\n\r\n" * 4)


@pytest.mark.parametrize("fault", [dies_at_once, dies_in_its_head, dies_undecided, talks_nonsense])
async def test_an_engine_that_is_killed_before_the_commit_costs_no_request(
    tmp_path: Path, large: Origin, fault: Behaviour
) -> None:
    changes = {"breaker": NEVER_OPEN}
    async with origin(fault) as engine, process(tmp_path, engine.url, {"large": large.url}, changes=changes) as sidecar:
        load = Load(sidecar.url)
        await load.clients(CLIENTS, until=lambda number: number == EACH)
        load.tally.check()
        assert load.tally.answered == load.tally.sent == CLIENTS * EACH
        assert engine.asked >= CLIENTS * EACH, "every request met the fault"
        assert sidecar.peak() < MEMORY


async def test_an_engine_that_is_killed_and_comes_back_again_and_again_costs_no_request(
    tmp_path: Path, large: Origin
) -> None:
    changes = {"breaker": Breaker(failures=3, open_seconds=0.05)}
    async with (
        origin(saying("four")) as engine,
        process(tmp_path, engine.url, {"large": large.url}, changes=changes) as sidecar,
    ):
        load = Load(sidecar.url)

        async def kill() -> None:
            for _ in range(10):
                await engine.asked_again(20)
                engine.down()
                await large.asked_again(5)
                await engine.up()

        await load.during(CLIENTS, kill)
        load.tally.check()
        assert set(load.tally.failed) <= {"error event"}, "only what was committed already can break"
        assert set(load.paths) == {"small", "small,large"}


async def test_an_engine_that_is_killed_after_the_commit_ends_the_stream_with_an_error(
    tmp_path: Path, large: Origin
) -> None:
    async def dies_talking(exchange: Exchange) -> None:
        if not exchange.body["stream"]:
            await exchange.whole(whole_of("half of it"), missing=9)
        else:
            await exchange.head()
            await exchange.piece(delta(content="the answer is"))
        exchange.reset()

    changes = {"breaker": NEVER_OPEN}
    async with (
        origin(dies_talking) as engine,
        process(tmp_path, engine.url, {"large": large.url}, changes=changes) as sidecar,
    ):
        load = Load(sidecar.url)
        await load.clients(CLIENTS, until=lambda number: number == EACH)
        load.tally.check()
        assert load.tally.answered >= CLIENTS * EACH / 2, "whole replies are mended by the next agent"
        assert set(load.tally.failed) == {"error event"}
        assert sidecar.peak() < MEMORY


async def test_a_next_agent_that_is_killed_in_mid_stream_ends_it_with_an_error(tmp_path: Path) -> None:
    async def dies_talking(exchange: Exchange) -> None:
        await exchange.head({"x-disrouter-agent": "large"})
        await exchange.piece(delta(content="the answer is"))
        exchange.reset()

    async with (
        origin(saying(REFUSAL)) as engine,
        origin(dies_talking) as large,
        process(tmp_path, engine.url, {"large": large.url}, changes={"breaker": NEVER_OPEN}) as sidecar,
    ):
        load = Load(sidecar.url, texts=frozenset({REFUSAL}))
        await load.clients(CLIENTS, until=lambda number: number == EACH)
        load.tally.check()
        assert load.tally.failed["error event"] > 0


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("fault", [hangs, drips_its_head])
async def test_an_engine_that_accepts_and_never_answers_is_left_alone_after_a_few(
    tmp_path: Path, large: Origin, fault: Behaviour, stream: bool
) -> None:
    """A half-open connection or a slow loris: `firstByte` or `whole` passes, and soon nobody waits any more."""
    changes = {"timeouts": QUICK, "breaker": Breaker(failures=5, open_seconds=3600.0)}
    async with origin(fault) as engine, process(tmp_path, engine.url, {"large": large.url}, changes=changes) as sidecar:
        load = Load(sidecar.url)
        if stream:
            await load.streams(CLIENTS, EACH)
        else:
            await load.clients(CLIENTS, until=lambda number: number == EACH)
        load.tally.check()
        assert load.tally.answered == CLIENTS * EACH
        assert engine.asked < CLIENTS + 5, "whoever came after the breaker opened did not wait"


async def test_a_flapping_next_agent_is_passed_over(tmp_path: Path, large: Origin) -> None:
    others = {"x-disrouter-agent": "medium", "x-disrouter-path": "small,medium"}
    async with origin(saying(REFUSAL)) as engine, origin(saying("four", others)) as medium:
        urls = {"medium": medium.url, "large": large.url}
        changes = {"breaker": Breaker(failures=2, open_seconds=0.02)}
        async with process(tmp_path, engine.url, urls, changes=changes) as sidecar:
            load = Load(sidecar.url)

            async def flap() -> None:
                for _ in range(40):
                    medium.down()
                    await large.asked_again()
                    await medium.up()
                    await medium.asked_again()

            await load.during(CLIENTS, flap)
            load.tally.check()
            assert set(load.tally.failed) <= {"error event"}
            assert set(load.paths) == {"small,medium", "small,large"}
            assert sidecar.peak() < MEMORY


@pytest.mark.parametrize(
    ("policy", "answered"), [(FallbackPolicy.BEST_EFFORT, CLIENTS * EACH), (FallbackPolicy.FAIL, 0)]
)
async def test_when_all_above_are_dead_every_request_gets_an_answer_or_is_told_to_wait(
    tmp_path: Path, policy: FallbackPolicy, answered: int
) -> None:
    async def refuses_if_it_may(exchange: Exchange) -> None:
        await exchange.say(REFUSAL if "Scenario:" in str(exchange.body) else "four")

    async with origin(refuses_if_it_may) as engine, origin(saying("unused")) as large:
        large.down()
        changes = {"fallback": Fallback(policy=policy)}
        async with process(tmp_path, engine.url, {"large": large.url}, changes=changes) as sidecar:
            load = Load(sidecar.url)
            await load.clients(CLIENTS, until=lambda number: number == EACH)
            load.tally.check()
            assert load.tally.answered == answered
            assert load.tally.failed["status 503"] == CLIENTS * EACH - answered
