"""What a sidecar adds to a request, beside nginx as a plain proxy and a direct call, in one interleaved run.

    python -m bench.sidecar [--rounds 9] [--requests 150] [--write docs/benchmarks.md]

The engine is scripted and answers at once, so the numbers are all overhead. Every round measures every target, in
random order, one request at a time; a ratio is taken within its round and the table shows medians over the rounds.
nginx is the named rival where it is installed; without it the ratios are against the direct call alone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from disrouter.routes import AgentRoute, Awareness, RouteTable
from support.fake_engine import Script, fake_engine
from support.sidecars import free_port

REFUSAL = "I don't know!"
ANSWER = "Let's think step by step: it is four. The final answer is: 4."
NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream engine {{ server {engine}; keepalive 16; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""


@dataclass(frozen=True)
class Target:
    """Where requests go, under which model name, streamed or not."""

    name: str
    url: str
    model: str
    stream: bool


async def main() -> None:
    """Measure and print; with --write also record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--requests", type=int, default=150, help="requests a target and round")
    parser.add_argument("--write", type=Path, help="Markdown file to write")
    options = parser.parse_args()
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # a refused stream is hung up on, as it should be
    with tempfile.TemporaryDirectory() as name:
        async with running(Path(name)) as targets, aiohttp.ClientSession() as http:
            rounds = [await one_round(http, targets, options.requests) for _ in range(options.rounds + 1)][1:]
    text = table(targets, rounds, options.requests)
    print(text)
    if options.write:
        options.write.parent.mkdir(parents=True, exist_ok=True)
        options.write.write_text(text)


async def one_round(http: aiohttp.ClientSession, targets: list[Target], requests: int) -> dict[str, float]:
    """Median milliseconds to the first byte of the body, by target."""
    found: dict[str, float] = {}
    for target in random.sample(targets, len(targets)):
        found[target.name] = statistics.median([await first_byte(http, target) for _ in range(requests)])
    return found


async def first_byte(http: aiohttp.ClientSession, target: Target) -> float:
    """Ask and read to the end; the clock stops at the first byte. Raises if the answer is not the answer."""
    body = {"model": target.model, "messages": [{"role": "user", "content": "2+2?"}], "stream": target.stream}
    started = time.perf_counter()
    async with http.post(f"{target.url}/v1/chat/completions", json=body) as response:
        first = await response.content.readany()
        elapsed = (time.perf_counter() - started) * 1000
        rest = await response.read()
    assert response.status == 200, first + rest
    assert b"answer" in first + rest, first + rest
    return elapsed


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[list[Target]]:
    """Engines, sidecars and nginx, and the targets they make."""
    async with contextlib.AsyncExitStack() as stack:
        answering = await stack.enter_async_context(fake_engine())
        refusing = await stack.enter_async_context(fake_engine())
        answering.script, refusing.script = Script(text=ANSWER), Script(text=REFUSAL)
        alone = stack.enter_context(sidecars(folder / "alone", [answering.url]))
        chain = stack.enter_context(sidecars(folder / "chain", [refusing.url, refusing.url, answering.url]))
        targets = [
            Target("direct", answering.url, "engine", True),
            Target("direct, whole", answering.url, "engine", False),
        ]
        if shutil.which("nginx"):
            proxied = stack.enter_context(nginx(folder, answering.url))
            targets += [Target("nginx", proxied, "engine", True), Target("nginx, whole", proxied, "engine", False)]
        targets += [Target("sidecar", alone, "pool", True), Target("sidecar, whole", alone, "pool", False)]
        targets += [Target("3 agents, 2 refuse", chain, "pool", True)]
        await wait_for(targets)
        yield targets


@contextlib.contextmanager
def sidecars(folder: Path, engines: list[str]) -> Iterator[str]:
    """A chain of real sidecar processes; the address of the first. Each asks its engine and decides, also the last."""
    folder.mkdir(parents=True)
    ports = [free_port() for _ in engines]
    names = [f"agent-{index}" for index in range(len(engines) + 1)]
    awareness = [*[Awareness.TRAINED] * len(engines), Awareness.NONE]
    agents = {
        name: AgentRoute(
            url=f"http://127.0.0.1:{[*ports, 9][index]}",
            cost=0.1,
            awareness=awareness[index],
            next=[*names, None][index + 1],
        )
        for index, name in enumerate(names)
    }
    table = RouteTable(generation=1, cascade="pool", entry=names[0], agents=agents)
    routes = folder / "routes.json"
    routes.write_text(table.to_json())
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "disrouter_sidecar"],
            env=os.environ
            | {
                "DISROUTER_CASCADE": "pool",
                "DISROUTER_AGENT": name,
                "DISROUTER_ENGINE_URL": engine,
                "DISROUTER_ENGINE_MODEL": "engine",
                "DISROUTER_ROUTES": str(routes),
                "DISROUTER_HOST": "127.0.0.1",
                "DISROUTER_PORT": str(port),
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for name, engine, port in zip(names, engines, ports, strict=False)
    ]
    with stopped(processes):
        yield f"http://127.0.0.1:{ports[0]}"


@contextlib.contextmanager
def nginx(folder: Path, engine: str) -> Iterator[str]:
    """nginx as a plain reverse proxy with keep-alive."""
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, engine=engine.removeprefix("http://"), port=port))
    with stopped([subprocess.Popen(["nginx", "-c", str(config), "-e", str(folder / "error.log")])]):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def stopped(processes: list[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Stop the processes at the end, whatever happens."""
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=40)


async def wait_for(targets: list[Target], limit: float = 30) -> None:
    """Until every target answers."""
    async with aiohttp.ClientSession() as http:
        for target in targets:
            deadline = time.monotonic() + limit
            while True:
                try:
                    await first_byte(http, target)
                    break
                except (aiohttp.ClientError, AssertionError):
                    if time.monotonic() > deadline:
                        raise
                    await asyncio.sleep(0.1)


def table(targets: list[Target], rounds: list[dict[str, float]], requests: int) -> str:
    """The record: medians, ranges and ratios."""
    rival = "nginx" if any(target.name == "nginx" for target in targets) else "direct"
    lines = [
        "# Benchmarks",
        "",
        "What a sidecar adds to one request at a time, in milliseconds to the first byte of the answer. The engine is",
        f"scripted and answers at once. `make bench`: {len(rounds)} interleaved rounds of {requests} requests a",
        f"target; medians over the rounds, ratios to {rival} within each round. {os.cpu_count()} cores, Python",
        f"{platform.python_version()}, {platform.system()}; load generator and engine share a process.",
        "",
        f"| target | ms, median | lowest - highest | added to direct, ms | ratio to {rival} |",
        "|---|---|---|---|---|",
    ]
    for target in targets:
        direct, other = ("direct", rival) if target.stream else ("direct, whole", f"{rival}, whole")
        lines.append(f"| {target.name} | {row(rounds, target.name, direct, other)} |")
    return "\n".join([*lines, ""])


def row(rounds: list[dict[str, float]], name: str, direct: str, rival: str) -> str:
    """Columns of one target."""
    values = [one[name] for one in rounds]
    added = statistics.median(one[name] - one[direct] for one in rounds)
    ratio = statistics.median(one[name] / one[rival] for one in rounds)
    return f"{statistics.median(values):.2f} | {min(values):.2f} - {max(values):.2f} | {added:+.2f} | {ratio:.2f}"


if __name__ == "__main__":
    asyncio.run(main())
