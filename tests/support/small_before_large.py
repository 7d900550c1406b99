"""The sidecar of `small` in front of an engine; the next agent is no engine and says "large"."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from disrouter.routes import AgentRoute, RouteTable
from disrouter.terms import Awareness
from disrouter_sidecar.app.service import Service
from support.origin import origin, saying
from support.sidecars import config_of, sidecar
from support.tiny_cascade import MODEL, Engine


@dataclass
class Entry:
    """That sidecar, and a client."""

    service: Service
    url: str
    routes: Path
    large: str
    http: aiohttp.ClientSession

    def route(self, **small: Any) -> None:
        """Publish a table in which `small` has these fields."""
        agents = {
            "small": AgentRoute(url=self.url, cost=0.1, next="large", **small),
            "large": AgentRoute(url=self.large, cost=0.9, awareness=Awareness.NONE),
        }
        table = RouteTable(generation=1, cascade="qwen", entrypoint="small", agents=agents)
        self.routes.write_text(table.to_json())
        self.service.holder.poll()


@asynccontextmanager
async def small_before_large(engine: Engine, folder: Path) -> AsyncIterator[Entry]:
    """Without a table yet."""
    routes = folder / "routes.json"
    config = config_of("small", engine.url, routes, engine_model=MODEL)
    async with origin(saying("large")) as large, sidecar(config) as (service, url), aiohttp.ClientSession() as http:
        yield Entry(service, url, routes, large.url, http)
