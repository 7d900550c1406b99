"""An adapter is loaded into the running engine before anybody is sent to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from disrouter.routes import AdapterRoute, RouteTable
from support.fake_engine import Script
from support.local import until
from support.sidecars import REFUSAL, Cascade

FIRST = AdapterRoute(name="run-1", path="/mnt/adapters/run-1")
SECOND = AdapterRoute(name="run-2", path="/mnt/adapters/run-2")
THIRD = AdapterRoute(name="run-3", path="/mnt/adapters/run-3")
NOWHERE = AdapterRoute(name="run-9", path="/nowhere")


def with_adapter(table: RouteTable, adapter: AdapterRoute) -> RouteTable:
    small = replace(table.agents["small"], adapter=adapter)
    return replace(table, agents={**table.agents, "small": small})


async def serve(three: Cascade, adapter: AdapterRoute) -> None:
    """Publish and wait until it is loaded."""
    three.publish(with_adapter(three.table(), adapter))
    await until(lambda: three.entry.service.neighbours.adapters.loaded == adapter, 60)


@pytest.fixture
async def lora(three: Cascade) -> Cascade:
    """The entry's engine knows adapters, and no other model than its own."""
    three.entry.engine.adapters, three.entry.engine.model = {}, "engine-small"
    return three


async def test_a_new_adapter_is_loaded_and_then_asked_for(lora: Cascade) -> None:
    await serve(lora, FIRST)
    assert lora.entry.engine.adapters == {"run-1": "/mnt/adapters/run-1"}
    assert (await lora.ask()).status == 200
    assert lora.entry.engine.bodies[-1]["model"] == "run-1"


async def test_until_it_is_loaded_the_base_model_is_asked_as_one_that_was_not_trained(lora: Cascade) -> None:
    lora.publish(with_adapter(lora.table(), NOWHERE))
    await until(lambda: lora.entry.service.neighbours.adapters.problem, 60)
    lora.scripts(REFUSAL, "four", "unused")
    assert await lora.said(await lora.ask()) == ("small,medium", "four")
    asked = lora.entry.engine.bodies[-1]
    assert asked["model"] == "engine-small"
    assert "reply with exactly" in asked["messages"][0]["content"]


async def test_one_that_cannot_be_loaded_keeps_the_old_one_and_says_so(
    lora: Cascade, caplog: pytest.LogCaptureFixture
) -> None:
    await serve(lora, FIRST)
    lora.publish(with_adapter(lora.table(), NOWHERE))
    await until(lambda: lora.entry.service.neighbours.adapters.failures > 1, 60)
    assert (await lora.ask()).status == 200
    assert lora.entry.engine.bodies[-1]["model"] == "run-1"
    assert lora.entry.metric("disrouter_adapter_pending") == 1
    async with lora.http.get(f"{lora.entry.url}/readyz") as response:
        assert response.status == 200
        assert "run-9" in await response.text()
    (complaint,) = [record for record in caplog.records if "adapter" in record.message and record.levelname == "ERROR"]
    assert "status 404" in vars(complaint)["problem"]
    await serve(lora, SECOND)
    assert lora.entry.metric("disrouter_adapter_pending") == 0


async def test_the_one_before_stays_loaded_and_older_ones_do_not(lora: Cascade) -> None:
    for adapter in (FIRST, SECOND):
        await serve(lora, adapter)
    assert lora.entry.engine.adapters is not None
    assert set(lora.entry.engine.adapters) == {"run-1", "run-2"}
    await serve(lora, THIRD)
    await until(lambda: set(lora.entry.engine.adapters or ()) == {"run-2", "run-3"}, 60)
    await serve(lora, SECOND)
    assert (await lora.ask()).status == 200
    assert lora.entry.engine.bodies[-1]["model"] == "run-2"


async def test_an_engine_that_was_restarted_gets_its_adapter_again(lora: Cascade) -> None:
    await serve(lora, FIRST)
    lora.scripts(Script(text="mine"), "next", "unused")
    lora.entry.engine.adapters = {}
    assert await lora.said(await lora.ask()) == ("small,medium", "next")
    await until(lambda: lora.entry.engine.adapters, 60)
    await until(lambda: lora.entry.service.neighbours.adapters.loaded, 60)
    assert await lora.said(await lora.ask()) == ("small", "mine")


async def test_a_sidecar_that_was_restarted_takes_the_adapter_that_it_finds(lora: Cascade, tmp_path: Path) -> None:
    lora.entry.engine.adapters = {"run-1": "/mnt/adapters/run-1"}
    await serve(lora, FIRST)
