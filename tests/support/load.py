"""Load with a ledger: every request that is sent ends as answered, failed by design, or lost."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from support.fake_engine import DONE

PATIENCE = 120.0
"""Seconds after which a request without an end is lost."""


@dataclass
class Tally:
    """What became of the requests."""

    sent: int = 0
    answered: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    """By design, by kind."""
    lost: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Nothing is lost, and nothing is counted twice or not at all."""
        print(self)
        assert self.lost == [], self.lost[:5]
        assert self.sent == self.answered + self.failed.total()

    def __str__(self) -> str:
        by_design = dict(self.failed) or 0
        return f"sent {self.sent}, answered {self.answered}, failed by design {by_design}, lost {len(self.lost)}"


def request(*, stream: bool) -> dict[str, Any]:
    return {"model": "qwen", "messages": [{"role": "user", "content": "2+2?"}], "stream": stream}


@dataclass
class Load:
    """Asks a sidecar from several clients at once."""

    url: str
    tally: Tally = field(default_factory=Tally)
    texts: frozenset[str] = frozenset({"four"})
    """Answers that count."""
    paths: Counter[str] = field(default_factory=Counter)

    async def ask(self, http: aiohttp.ClientSession, *, stream: bool) -> bool:
        """One request; whether the connection lives on."""
        self.tally.sent += 1
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._ask(http, stream)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self.tally.lost.append(repr(error))
            return False

    async def _ask(self, http: aiohttp.ClientSession, stream: bool) -> bool:
        async with http.post(f"{self.url}/v1/chat/completions", json=request(stream=stream)) as response:
            body = await response.read()
            self.paths[response.headers.get("x-disrouter-path", "")] += 1
            self._judge(response, body)
            return response.headers.get("connection", "").lower() != "close"

    def _judge(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        if response.status in (429, 503) and response.headers.get("retry-after") and b'"error"' in body:
            self.tally.failed[f"status {response.status}"] += 1
        elif response.status == 200 and said(body) in self.texts:
            self.tally.answered += 1
        elif response.status == 200 and b'"upstream_failed"' in body.rstrip().rpartition(b"\n\n")[2]:
            self.tally.failed["error event"] += 1
        else:
            self.tally.lost.append(f"status {response.status}: {body[-200:]!r}")

    async def clients(self, count: int, *, until: Callable[[int], bool]) -> None:
        """`count` clients, every other one streaming, each asking until it is told to stop or to go away."""

        async def client(http: aiohttp.ClientSession, stream: bool) -> None:
            number = 0
            while not until(number) and await self.ask(http, stream=stream):
                number += 1

        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            await asyncio.gather(*(client(http, bool(index % 2)) for index in range(count)))

    async def streams(self, count: int, each: int) -> None:
        """`count` clients that ask for `each` streams."""

        async def client(http: aiohttp.ClientSession) -> None:
            for _ in range(each):
                await self.ask(http, stream=True)

        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            await asyncio.gather(*(client(http) for _ in range(count)))

    async def during(self, count: int, work: Callable[[], Awaitable[None]]) -> None:
        """`count` clients ask as long as `work` takes."""
        done = asyncio.Event()

        async def run() -> None:
            try:
                await work()
            finally:
                done.set()

        await asyncio.gather(self.clients(count, until=lambda _: done.is_set()), run())


def said(body: bytes) -> str | None:
    """The text of a whole reply, or of a stream that came to its end."""
    if body.startswith(b"{"):
        return str(json.loads(body)["choices"][0]["message"]["content"])
    if not body.endswith(DONE):
        return None
    events = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: {")]
    return "".join(json.loads(event)["choices"][0]["delta"].get("content", "") for event in events)
