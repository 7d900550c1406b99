"""Real sidecars chained over loopback, each in front of a scripted engine."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp
import openai
from prometheus_client.parser import text_string_to_metric_families

from disrouter.routes import AgentRoute, Awareness, RouteTable
from disrouter_sidecar.app.process import running
from disrouter_sidecar.app.service import Service
from disrouter_sidecar.config import Config
from support.fake_engine import FakeEngine, Script, fake_engine

REFUSAL = "I don't know!"
AGENTS = ("small", "medium", "large")
URL_OF_NOBODY = "http://127.0.0.1:9"


def open_files() -> int:
    """Descriptors of this process, connections among them."""
    return len(list(Path("/proc/self/fd").iterdir()))


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def sample(service: Service, name: str, **labels: str) -> float:
    """One of a sidecar's numbers as Prometheus reads it, 0 where a known metric has no such labels yet.

    Which cascade and agent it is need not be said: a sidecar has one of each.
    """
    families = list(text_string_to_metric_families(service.metrics.render().decode()))
    assert any(name.startswith(family.name) for family in families), f"no metric is named {name}"
    own = {"cascade": service.config.cascade, "agent": service.config.agent}
    found = (each for family in families for each in family.samples if each.name == name)
    return next((each.value for each in found if own | each.labels == own | labels), 0.0)


@dataclass
class Agent:
    """One agent: its scripted engine, its sidecar, and where the sidecar listens."""

    name: str
    engine: FakeEngine
    service: Service
    url: str

    def metric(self, name: str, **labels: str) -> float:
        return sample(self.service, name, **labels)


@dataclass
class Cascade:
    """Agents in order of cost; the first is the entry, the last always answers."""

    path: Path
    http: aiohttp.ClientSession
    agents: dict[str, Agent] = field(default_factory=dict)
    generation: int = 0
    files: int = 0
    """Descriptors of this process once everybody was up."""

    @property
    def entry(self) -> Agent:
        return next(iter(self.agents.values()))

    def scripts(self, *scripts: Script | str) -> None:
        """Tell the engines what to do, in order; a string is a text to say."""
        for agent, script in zip(self.agents.values(), scripts, strict=True):
            agent.engine.script = Script(text=script) if isinstance(script, str) else script

    def table(self, **changes: Any) -> RouteTable:
        names = list(self.agents)
        routes = {
            name: AgentRoute(
                url=agent.url,
                cost=round(0.1 + 0.8 * index / max(len(names) - 1, 2), 2),
                awareness=Awareness.TRAINED if index + 1 < len(names) else Awareness.NONE,
                next=names[index + 1] if index + 1 < len(names) else None,
            )
            for index, (name, agent) in enumerate(self.agents.items())
        }
        self.generation += 1
        fields: dict[str, Any] = {
            "generation": self.generation,
            "cascade": "qwen",
            "entrypoint": names[0],
            "agents": routes,
        }
        return RouteTable(**(fields | changes))

    def publish(self, table: RouteTable | None = None) -> None:
        """Write the table as the kubelet does - at once - and let every sidecar look."""
        text = (table or self.table()).to_json()
        scratch = self.path.with_suffix(".tmp")
        scratch.write_text(text)
        scratch.replace(self.path)
        for agent in self.agents.values():
            agent.service.refresh()

    async def ask(
        self, model: str = "qwen", *, agent: str | None = None, headers: dict[str, str] | None = None, **fields: Any
    ) -> aiohttp.ClientResponse:
        """POST a chat completion to a sidecar, the entry's by default."""
        body = {"model": model, "messages": [{"role": "user", "content": "2+2?"}], **fields}
        return await self.post(json.dumps(body).encode(), agent=agent, headers=headers)

    async def post(
        self, body: bytes, *, agent: str | None = None, headers: dict[str, str] | None = None
    ) -> aiohttp.ClientResponse:
        return await self.send("/chat/completions", body, agent=agent, headers=headers)

    async def send(
        self,
        path: str,
        body: bytes | dict[str, Any],
        *,
        agent: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> aiohttp.ClientResponse:
        """POST to an API of a sidecar, the entry's by default."""
        target = self.agents[agent] if agent else self.entry
        head = {"content-type": "application/json", **(headers or {})}
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.http.post(f"{target.url}/v1{path}", data=io.BytesIO(raw), headers=head)

    async def said(self, response: aiohttp.ClientResponse) -> tuple[str, str]:
        """Path and text of a whole answer."""
        body = await response.json()
        assert response.status == 200, body
        return response.headers["x-disrouter-path"], body["choices"][0]["message"]["content"]

    def openai(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"{self.entry.url}/v1", api_key="client-secret", max_retries=0)


def config_of(name: str, engine_url: str, routes: Path, **changes: Any) -> Config:
    """A sidecar's configuration with quick ends."""
    fields: dict[str, Any] = {
        "cascade": "qwen",
        "agent": name,
        "engine_url": engine_url,
        "engine_model": f"engine-{name}",
        "routes": routes,
        "host": "127.0.0.1",
        "drain_seconds": 0.2,
        "linger_seconds": 0.0,
    }
    return Config(**(fields | changes))


@asynccontextmanager
async def sidecar(config: Config) -> AsyncIterator[tuple[Service, str]]:
    """A sidecar on a free port and its address."""
    async with running(config) as (service, listener):
        port = await listener.start(config.host, 0)
        yield service, f"http://127.0.0.1:{port}" if config.tls is None else f"https://localhost:{port}"


@asynccontextmanager
async def cascade(
    directory: Path,
    names: tuple[str, ...] = AGENTS,
    only: Mapping[str, dict[str, Any]] = MappingProxyType({}),
    **changes: Any,
) -> AsyncIterator[Cascade]:
    """A cascade with a published route table; `changes` are for every sidecar, `only` for those named."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        built = Cascade(directory / "routes.json", http)
        for name in names:
            engine = await stack.enter_async_context(fake_engine())
            fields: dict[str, Any] = {"engine_url": engine.url, "routes": built.path, **changes, **only.get(name, {})}
            config = config_of(name, **fields)
            service, url = await stack.enter_async_context(sidecar(config))
            built.agents[name] = Agent(name, engine, service, url)
        built.publish()
        built.files = open_files()
        yield built
