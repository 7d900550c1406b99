"""The real process: its environment, its log, its end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from disrouter.routes import AgentRoute, Awareness, RouteTable
from disrouter_sidecar.config import Config
from disrouter_sidecar.errors import InvalidConfig
from support.fake_engine import FakeEngine, Script, delta, fake_engine
from support.sidecars import config_of, free_port, sidecar

GOOD = {
    "DISROUTER_CASCADE": "qwen",
    "DISROUTER_AGENT": "small",
    "DISROUTER_ENGINE_URL": "http://127.0.0.1:8081",
    "DISROUTER_ENGINE_MODEL": "m",
    "DISROUTER_ROUTES": "/etc/disrouter/routes.json",
}


def test_the_defaults_of_the_environment() -> None:
    config = Config.from_env(GOOD)
    assert (config.host, config.port, config.drain_seconds) == ("::", 8080, 30.0)
    assert config.engine_key is None
    assert config.external is False
    assert config.fast_path is True


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
async def test_it_is_reached_by_both_families(tmp_path: Path, address: str) -> None:
    default = Config.from_env(GOOD).host
    config = config_of("small", "http://127.0.0.1:9", tmp_path / "routes.json", host=default)
    async with sidecar(config) as (_, url), aiohttp.ClientSession() as http:
        reply = await http.get(f"http://{address}:{url.rpartition(':')[2]}/healthz")
        assert reply.status == 200


def test_the_fast_path_can_be_turned_off() -> None:
    assert Config.from_env({**GOOD, "DISROUTER_FAST_PATH": "false"}).fast_path is False


def test_a_key_is_trimmed_and_never_shown() -> None:
    config = Config.from_env({**GOOD, "DISROUTER_ENGINE_KEY": "secret\n", "DISROUTER_EXTERNAL": "true"})
    assert config.engine_key == "secret"
    assert "secret" not in repr(config)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "") for name in GOOD),
        ("DISROUTER_CASCADE", "Not A Name"),
        ("DISROUTER_ENGINE_URL", "127.0.0.1:8081"),
        ("DISROUTER_ENGINE_URL", "http://user:password@host"),
        ("DISROUTER_ENGINE_URL", "http://host:99999"),
        ("DISROUTER_ENGINE_URL", "ftp://host"),
        ("DISROUTER_PORT", "eighty"),
        ("DISROUTER_PORT", "0"),
        ("DISROUTER_PORT", "80.5"),
        ("DISROUTER_DRAIN_SECONDS", "nan"),
        ("DISROUTER_DRAIN_SECONDS", "-1"),
        ("DISROUTER_MAX_BODY_BYTES", "1"),
        ("DISROUTER_EXTERNAL", "maybe"),
        ("DISROUTER_LOG_LEVEL", "loud"),
        ("DISROUTER_ENGINE_KEY", "two\nlines"),
    ],
)
def test_a_wrong_variable_is_named_with_its_remedy(name: str, value: str) -> None:
    with pytest.raises(InvalidConfig, match=name) as caught:
        Config.from_env({**GOOD, name: value})
    assert "password" not in str(caught.value)
    assert "two" not in str(caught.value)


def test_a_process_that_reads_a_table_never_loads_pydantic() -> None:
    """It would take 13 MiB beside every replica."""
    route = AgentRoute(url="http://small", cost=0.1, awareness=Awareness.NONE)
    table = RouteTable(generation=1, cascade="qwen", entrypoint="small", agents={"small": route})
    program = (
        "import sys; import disrouter_sidecar.__main__; from disrouter.routes import RouteTable;"
        "print(RouteTable.from_json(sys.stdin.buffer.read()).path());"
        "print(sorted({'pydantic', 'pydantic_core', 'prometheus_client'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=table.to_json().encode(), capture_output=True, check=True
    )
    assert done.stdout.decode().splitlines() == ["['small']", "[]"]


async def launch(env: dict[str, str]) -> asyncio.subprocess.Process:
    path = {"PATH": os.environ["PATH"]}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "disrouter_sidecar", env=path | env, stderr=asyncio.subprocess.PIPE
    )


async def test_a_wrong_environment_ends_with_code_two_and_one_line() -> None:
    process = await launch({})
    _, text = await process.communicate()
    assert process.returncode == 2
    assert text.decode().count("\n") == 1
    assert "DISROUTER_CASCADE is not set" in text.decode()


@asynccontextmanager
async def running(tmp_path: Path, **env: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, FakeEngine, str]]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    route = AgentRoute(url=url, cost=0.1, awareness=Awareness.NONE)
    table = RouteTable(generation=1, cascade="qwen", entrypoint="small", agents={"small": route})
    path = tmp_path / "routes.json"
    path.write_text(table.to_json())
    own = {"DISROUTER_ROUTES": str(path), "DISROUTER_PORT": str(port), "DISROUTER_HOST": "127.0.0.1"}
    async with fake_engine() as engine:
        process = await launch({**GOOD, **own, "DISROUTER_ENGINE_URL": engine.url, **env})
        try:
            assert process.stderr is not None
            async with asyncio.timeout(10):
                while b'"serving"' not in await process.stderr.readline():
                    assert process.returncode is None
            yield process, engine, url
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


async def test_sigterm_finishes_what_is_in_flight_and_ends_with_zero(tmp_path: Path) -> None:
    async with running(tmp_path, DISROUTER_LINGER_SECONDS="0.3") as (process, engine, url):
        engine.script = Script(pieces=[delta(content="word ")] * 10, gap=0.1)
        async with aiohttp.ClientSession() as http:
            body = {"model": "qwen", "messages": [{"role": "user", "content": "x"}], "stream": True}
            response = await http.post(f"{url}/v1/chat/completions", json=body)
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.1)
            async with http.get(f"{url}/readyz") as ready:
                assert ready.status == 503
            assert await response.read() == delta(content="word ") * 10
        assert process.stderr is not None
        log = (await asyncio.wait_for(process.stderr.read(), 5)).decode()
        assert await process.wait() == 0
        lines = [json.loads(line) for line in log.splitlines()]
        assert [line["message"] for line in lines if line["level"] == "info"][-1] == "stopped"
        assert any(line["message"] == "chat" and line["outcome"] == "answer" for line in lines)


async def test_what_does_not_finish_in_time_is_cut_off(tmp_path: Path) -> None:
    env = {"DISROUTER_LINGER_SECONDS": "0", "DISROUTER_DRAIN_SECONDS": "0.3"}
    async with running(tmp_path, **env) as (process, engine, url):
        engine.script = Script(pieces=[delta(content="word ")], then="hang")
        async with aiohttp.ClientSession() as http:
            body = {"model": "qwen", "messages": [{"role": "user", "content": "x"}], "stream": True}
            await http.post(f"{url}/v1/chat/completions", json=body)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 5) == 0
            await asyncio.wait_for(engine.cancelled.wait(), 2)


async def test_a_taken_port_is_said_in_one_line(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, _, url):
        port = url.rpartition(":")[2]
        process = await launch({**GOOD, "DISROUTER_HOST": "127.0.0.1", "DISROUTER_PORT": port})
        _, text = await asyncio.wait_for(process.communicate(), 10)
        assert process.returncode == 1
        assert f"cannot serve on 127.0.0.1:{port}" in text.decode()
