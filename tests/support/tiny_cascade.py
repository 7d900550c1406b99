"""Cascades of two sidecars in front of one real vLLM that serves the tiny model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from disrouter.routes import AgentRoute, Awareness, RouteTable
from disrouter_sidecar.app.service import Service
from support import tiny_model
from support.sidecars import config_of, sidecar
from support.vllm import save_adapter, vllm

MODEL = "tiny"
ADAPTERS = ("run-1", "run-2")
_TOOLS = ("--enable-auto-tool-choice", "--tool-call-parser", "hermes", "--reasoning-parser", "deepseek_v3")
THINKING = {"chat_template_kwargs": {"thinking": True}}
"""Fields by which this vLLM parses thoughts. Without them every word is the answer's, and a grammar binds at once."""
_GRAMMAR = (
    "--structured-outputs-config.backend",
    "xgrammar",
    "--structured-outputs-config.disable_any_whitespace",
    "true",
)
"""Under a grammar this model would else write white space without end."""
_GREEDY = ("--override-generation-config", '{"temperature": 0}')
"""Where a request names no temperature; not every client can."""
_LORA = ("--enable-lora", "--max-lora-rank", "8")


@dataclass(frozen=True)
class Engine:
    """A vLLM that serves the tiny model; `adapters` is the folder of the adapters that it may load."""

    url: str
    adapters: Path


@dataclass(frozen=True)
class Cascade:
    """Two agents, `small` and `large`: where the entry listens, the engine behind `small`, and both sidecars."""

    url: str
    engine: str
    small: Service
    large: Service


@contextmanager
def tiny_engine(folder: Path) -> Iterator[Engine]:
    """Train the model and start vLLM, which takes a minute."""
    model = tiny_model.build(folder / "tiny")
    for name in ADAPTERS:
        save_adapter(model, folder / name)
    with vllm(model, MODEL, (*_TOOLS, *_GRAMMAR, *_GREEDY, *_LORA)) as url:
        yield Engine(url, folder)


@asynccontextmanager
async def pair(small: str, large: str, folder: Path) -> AsyncIterator[Cascade]:
    """The sidecars of two agents in front of these engines: the first may refuse, the last must answer."""
    routes = folder / "routes.json"
    one, two = (config_of(name, url, routes, engine_model=MODEL) for name, url in (("small", small), ("large", large)))
    async with sidecar(one) as (first, url), sidecar(two) as (last, next_url):
        agents = {
            "small": AgentRoute(url=url, cost=0.1, awareness=Awareness.TRAINED, next="large"),
            "large": AgentRoute(url=next_url, cost=0.9, awareness=Awareness.NONE),
        }
        table = RouteTable(generation=1, cascade="qwen", entrypoint="small", agents=agents)
        routes.write_text(table.to_json())
        for service in (first, last):
            service.refresh()
        yield Cascade(url, small, first, last)
