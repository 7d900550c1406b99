"""Changes under load: a route table that is swapped a thousand times, and the sidecar's own end."""

from __future__ import annotations

import asyncio
from pathlib import Path

from msgspec.structs import replace

from support.fake_engine import stream_of
from support.load import Load
from support.origin import Exchange, origin, saying
from support.sidecar_process import process
from support.sidecars import REFUSAL, Cascade

SWAPS = 1000


async def test_a_table_that_is_swapped_a_thousand_times_costs_no_request(three: Cascade) -> None:
    """Every tenth is broken; the two good ones differ in who is next."""
    three.scripts(REFUSAL, REFUSAL, "four")
    long = three.table()
    agents = {name: route for name, route in long.agents.items() if name != "medium"}
    agents["small"] = replace(agents["small"], next="large")
    tables = [long, replace(long, agents=agents)]
    load = Load(three.entry.url)

    async def swap() -> None:
        for number in range(1, SWAPS + 1):
            if number % 10 == 0:
                three.path.write_text("{" * number)
                assert not three.entry.service.holder.poll()
            else:
                three.publish(replace(tables[number % 2], generation=number))
            await asyncio.sleep(0)

    await load.during(8, swap)
    load.tally.check()
    assert load.tally.answered == load.tally.sent > 0
    assert set(load.paths) == {"small,medium,large", "small,large"}
    assert three.entry.metric("disrouter_route_table_generation") == SWAPS - 1
    assert three.entry.metric("disrouter_route_table_rejected") == 1


async def test_sigterm_under_load_loses_nothing_that_was_asked(tmp_path: Path) -> None:
    """Clients go away when they are told to, as a Service sends them elsewhere; what is under way is finished."""

    async def slowly(exchange: Exchange) -> None:
        if not exchange.body["stream"]:
            await exchange.say("four")
            return
        await exchange.head()
        for piece in [*stream_of("four"), b""]:
            await exchange.piece(piece)
            await asyncio.sleep(0.05)

    env = {"DISROUTER_LINGER_SECONDS": "3", "DISROUTER_DRAIN_SECONDS": "60"}
    async with (
        origin(slowly) as engine,
        origin(saying("unused")) as large,
        process(tmp_path, engine.url, {"large": large.url}, env=env) as sidecar,
    ):
        load = Load(sidecar.url)
        clients = asyncio.create_task(load.clients(32, until=lambda _: False))
        await engine.asked_again(150)
        assert await sidecar.end() == 0
        await asyncio.wait_for(clients, 60)
        load.tally.check()
        assert load.tally.answered == load.tally.sent


async def test_sigterm_ends_what_does_not_end_by_itself_in_bounded_time(tmp_path: Path) -> None:
    async def endlessly(exchange: Exchange) -> None:
        await exchange.head()
        while True:
            await exchange.piece(stream_of("four ")[1])
            await asyncio.sleep(0.02)

    async with (
        origin(endlessly) as engine,
        origin(saying("unused")) as large,
        process(tmp_path, engine.url, {"large": large.url}, env={"DISROUTER_DRAIN_SECONDS": "0.5"}) as sidecar,
    ):
        load = Load(sidecar.url)
        arrived = asyncio.create_task(engine.asked_again(16))
        clients = asyncio.create_task(load.streams(16, 1))
        await arrived
        assert await sidecar.end() == 0
        await asyncio.wait_for(clients, 60)
        assert load.tally.failed == {"error event": 16}, "cut off, and their clients are told"
        async with asyncio.timeout(60):
            while engine.open:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
