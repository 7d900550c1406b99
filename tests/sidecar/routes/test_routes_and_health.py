"""The route table is data: it changes under running requests, and a bad one changes nothing."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
from pathlib import Path
from typing import NoReturn

import aiohttp
import pytest
from msgspec.structs import replace

from disrouter_sidecar.app.health import Readiness
from disrouter_sidecar.routes.reload import MAX_TABLE_BYTES, RouteHolder
from support.fake_provider import KEY, fake_provider
from support.local import until
from support.sidecars import REFUSAL, URL_OF_NOBODY, Cascade, cascade, config_of, sidecar


async def get(three: Cascade, path: str) -> tuple[int, str]:
    async with three.http.get(three.entry.url + path) as response:
        return response.status, await response.text()


async def test_a_changed_table_takes_effect_without_a_lost_request(three: Cascade) -> None:
    """Requests keep coming while the table flips between two and three agents; the file alone announces it."""
    three.scripts(REFUSAL, REFUSAL, "four")
    long = three.table()
    agents = {name: route for name, route in long.agents.items() if name != "medium"}
    agents["small"] = replace(agents["small"], next="large")
    short = replace(long, agents=agents, generation=long.generation + 1)
    paths: set[str] = set()
    stop = asyncio.Event()

    async def keep_asking() -> None:
        while not stop.is_set():
            response = await three.ask(stream=True)
            assert response.status == 200
            assert b"four" in await response.read()
            paths.add(response.headers["x-disrouter-path"])

    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(keep_asking())
        for table in (short, long, short):
            scratch = three.path.with_suffix(".new")
            scratch.write_text(table.to_json())
            scratch.replace(three.path)
            await asyncio.sleep(0.6)
        stop.set()
    assert paths == {"small,medium,large", "small,large"}
    assert three.entry.metric("disrouter_route_table_generation") == short.generation


async def test_a_bad_table_keeps_the_old_one_and_raises_a_metric(three: Cascade) -> None:
    three.path.write_text("{")
    assert three.entry.service.holder.poll() is False
    assert (await three.ask()).status == 200
    assert three.entry.metric("disrouter_route_table_rejected") == 1
    status, text = await get(three, "/readyz")
    assert status == 200, "what is served is served"
    assert "is rejected" in text
    assert "the table before it is kept" in text
    three.publish()
    assert three.entry.metric("disrouter_route_table_rejected") == 0
    assert await get(three, "/readyz") == (200, "ok\n")


async def test_without_a_table_the_sidecar_lives_but_is_not_ready(tmp_path: Path) -> None:
    config = config_of("small", URL_OF_NOBODY, tmp_path / "routes.json")
    async with sidecar(config) as (_, url), aiohttp.ClientSession() as http:
        async with http.get(f"{url}/healthz") as response:
            assert response.status == 200
        async with http.get(f"{url}/readyz") as response:
            assert response.status == 503
            assert "routes.json" in await response.text()
        body = {"model": "qwen", "messages": [{"role": "user", "content": "x"}]}
        async with http.post(f"{url}/v1/chat/completions", json=body) as response:
            assert response.status == 503
            assert response.headers["retry-after"]
            assert (await response.json())["error"]["code"] == "not_ready"
        async with http.get(f"{url}/v1/models") as response:
            assert response.status == 503


async def test_readiness_follows_the_engine(three: Cascade) -> None:
    assert await get(three, "/readyz") == (200, "ok\n")
    three.entry.engine.healthy = False
    assert (await get(three, "/readyz"))[0] == 200, "the last probe is a second old at most"
    await asyncio.sleep(1.05)
    status, text = await get(three, "/readyz")
    assert status == 503
    assert "engine" in text
    assert (await get(three, "/healthz"))[0] == 200


@dataclasses.dataclass
class SlowHealth:
    """An engine whose health takes as long as the test says."""

    asked: int = 0
    go: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    async def healthy(self, _url: str, _seconds: float, _head: str = "") -> bool:
        self.asked += 1
        await self.go.wait()
        return True

    def send(self, *_: object, **__: object) -> NoReturn:
        raise AssertionError("only its health is asked for")

    async def ask(self, *_: object, **__: object) -> NoReturn:
        raise AssertionError("only its health is asked for")


async def test_however_many_ask_for_readiness_at_once_the_engine_is_asked_once(three: Cascade) -> None:
    engine = SlowHealth()
    readiness = Readiness(three.entry.service, engine, lambda: 0.0)
    asking = [asyncio.create_task(readiness.problem()) for _ in range(50)]
    await until(lambda: engine.asked > 0)
    asking[0].cancel()
    await asyncio.sleep(0)
    engine.go.set()
    assert await asyncio.gather(*asking[1:]) == [None] * 49, "one who left took nothing from the others"
    assert engine.asked == 1


async def test_an_external_engine_is_not_probed_and_gets_its_own_key_only(tmp_path: Path) -> None:
    async with cascade(tmp_path, external=True, engine_key="provider-key") as three:
        three.entry.engine.healthy = False
        assert (await get(three, "/readyz"))[0] == 200
        await three.ask(headers={"authorization": "Bearer client-key"})
        assert three.entry.engine.headers[0]["authorization"] == "Bearer provider-key"


@pytest.mark.parametrize("given", [KEY, "sk-old"])
async def test_a_provider_whose_health_has_an_address_is_asked_there_with_its_key(tmp_path: Path, given: str) -> None:
    async with fake_provider("/openai/v1") as provider:
        elsewhere = {"engine_url": provider.url, "engine_health": f"{provider.url}/models", "external": True}
        async with cascade(tmp_path, only={"small": {**elsewhere, "engine_key": given}}) as three:
            status, text = await get(three, "/readyz")
            assert status == (200 if given == KEY else 503)
            assert (f"{provider.url}/models does not say 200" in text) == (given != KEY)


async def test_a_draining_sidecar_is_not_ready_but_still_answers(three: Cascade) -> None:
    three.entry.service.draining = True
    assert await get(three, "/readyz") == (503, "shutting down\n")
    response = await three.ask()
    assert response.status == 200
    assert response.headers["connection"] == "close"


def holder(path: Path) -> RouteHolder:
    return RouteHolder(path, "qwen", lambda: 12.0)


async def test_a_config_maps_symlink_switch_is_noticed(three: Cascade, tmp_path: Path) -> None:
    first, second = three.table(), three.table()
    for name, table in (("one", first), ("two", second)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "routes.json").write_text(table.to_json())
        os.utime(tmp_path / name / "routes.json", (1, 1))
    data = tmp_path / "..data"
    data.symlink_to("one")
    watched = holder(data / "routes.json")
    assert watched.poll() is True
    assert watched.current == first
    assert watched.poll() is False
    fresh = tmp_path / "..new"
    fresh.symlink_to("two")
    fresh.replace(data)
    assert watched.poll() is True
    assert watched.current == second
    assert watched.loaded_at == 12.0


async def test_every_way_a_table_can_be_wrong_keeps_the_old_one(
    three: Cascade, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = three.table()
    path = tmp_path / "watched.json"
    path.write_text(good.to_json())
    watched = holder(path)
    watched.poll()
    other = replace(good, cascade="other")
    for text, words in (
        ("{}", "generation"),
        (json.dumps({**json.loads(good.to_json()), "version": 99}), "version"),
        (other.to_json(), "belongs to cascade 'other'"),
        (" " * (MAX_TABLE_BYTES + 1), "larger than"),
    ):
        path.write_text(text)
        assert watched.poll() is False
        assert watched.problem is not None
        assert words in watched.problem
        assert watched.current == good
    path.unlink()
    watched.poll()
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 5
    caplog.clear()
    watched.poll()
    assert watched.problem is not None
    assert "No such file" in watched.problem
    assert caplog.records == [], "the same problem is logged once"
    path.write_text(good.to_json())
    assert watched.poll() is True
    assert watched.problem is None


async def test_an_error_that_nobody_foresaw_does_not_end_the_watch(
    three: Cascade, caplog: pytest.LogCaptureFixture
) -> None:
    failures: list[int] = []
    service = three.entry.service

    def fails() -> None:
        if not failures:
            failures.append(1)
            raise RuntimeError("once")

    service.watched.append(fails)
    await until(lambda: failures)
    three.path.write_text(three.table().to_json())
    await until(lambda: service.table().generation == three.generation)
    assert any("in the background" in record.message and record.exc_info for record in caplog.records)


async def test_a_field_of_a_newer_operator_is_ignored(three: Cascade, tmp_path: Path) -> None:
    path = tmp_path / "watched.json"
    path.write_text(json.dumps({**json.loads(three.table().to_json()), "surprise": 1}))
    assert holder(path).poll() is True


async def test_metrics_tell_what_was_decided(three: Cascade) -> None:
    three.scripts(REFUSAL, "four", "unused")
    await three.ask()
    await three.ask("qwen/small")
    three.entry.service.dependencies.engine.use(
        dataclasses.replace(three.entry.service.config, engine_url=URL_OF_NOBODY)
    )
    await three.ask()
    status, text = await get(three, "/metrics")
    assert status == 200
    for line in (
        'disrouter_agent_decisions_total{agent="small",cascade="qwen",decision="refuse",scenario="balance"} 1.0',
        'disrouter_agent_decisions_total{agent="small",cascade="qwen",decision="answer",scenario="pinned"} 1.0',
        'disrouter_agent_decisions_total{agent="small",cascade="qwen",decision="failover",scenario="balance"} 1.0',
        'disrouter_failovers_total{reason="refused"} 1.0',
        'disrouter_failovers_total{reason="5xx"} 0.0',
        'disrouter_decision_seconds_count{agent="small",cascade="qwen"} 2.0',
        'disrouter_overhead_seconds_count{agent="small",cascade="qwen"} 3.0',
        'disrouter_cost_total{agent="small",cascade="qwen"} 0.1',
        'disrouter_inflight_requests{agent="small",cascade="qwen"} 0.0',
        'disrouter_route_table_generation{agent="small",cascade="qwen"} 1.0',
    ):
        assert line in text
    medium = three.agents["medium"]
    own = {"cascade": "qwen", "agent": "medium"}
    assert medium.metric("disrouter_cost_total", **own) == 1.0
    assert medium.metric("disrouter_hops_sum", **own) == 2.0
    assert medium.metric("disrouter_hops_count", **own) == 2.0


async def test_one_line_a_request_without_its_words(three: Cascade, caplog: pytest.LogCaptureFixture) -> None:
    three.scripts(REFUSAL, "four", "unused")
    with caplog.at_level("INFO", logger="disrouter_sidecar"):
        await three.ask(headers={"x-request-id": "abc", "authorization": "Bearer client-key"})
    lines = [vars(record) for record in caplog.records if record.message == "chat"]
    assert [(line["agent"], line["path"], line["outcome"]) for line in lines] == [
        ("medium", "small,medium", "answer"),
        ("small", "small,medium", "answer"),
    ]
    assert all(line["request_id"] == "abc" and line["milliseconds"] > 0 for line in lines)
    assert not any("2+2?" in str(line) or "client-key" in str(line) for line in lines)
