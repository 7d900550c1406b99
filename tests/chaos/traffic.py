"""Clients that ask through the cascade's Service while everything else goes on, and the ledger of what they got."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import aiohttp

from support.load import said

PAUSE_SECONDS = 0.1
PATIENCE = 60.0
"""Seconds after which a request has failed."""
QUESTIONS = ("an easy one", "a hard one")


class Asked(NamedTuple):
    """One request; times in Unix seconds."""

    began: float
    ended: float
    text: str
    path: str
    failure: str = ""


class Clients:
    """Four of them: whole and streamed, each on a connection that is kept and on a new one each time."""

    def __init__(self, url: str, model: str) -> None:
        self.url = url
        self.model = model
        self.ledger: list[Asked] = []
        self._stopping = False

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """Ask while the block runs; requests under way at its end are waited for."""
        ways = itertools.product((False, True), (False, True))
        tasks = [asyncio.create_task(self._client(stream=stream, keep=keep)) for stream, keep in ways]
        try:
            yield
        finally:
            self._stopping = True
            await asyncio.gather(*tasks)

    async def _client(self, *, stream: bool, keep: bool) -> None:
        connector = aiohttp.TCPConnector(force_close=not keep)
        async with aiohttp.ClientSession(connector=connector) as http:
            for question in itertools.cycle(QUESTIONS):
                if self._stopping:
                    return
                self.ledger.append(await self._ask(http, question, stream))
                await asyncio.sleep(PAUSE_SECONDS)

    async def _ask(self, http: aiohttp.ClientSession, question: str, stream: bool) -> Asked:
        body = {"model": self.model, "messages": [{"role": "user", "content": question}], "stream": stream}
        began = time.time()
        try:
            async with asyncio.timeout(PATIENCE), http.post(f"{self.url}/chat/completions", json=body) as reply:
                data = await reply.read()
                path = reply.headers.get("x-disrouter-path", "")
                failure = "" if reply.status == 200 else f"status {reply.status}: {data[:300]!r}"
                text = "" if failure else said(data)
                failure = f"a stream that ends with {data[-200:]!r}" if text is None else failure
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, LookupError) as error:
            return Asked(began, time.time(), "", "", f"{type(error).__name__}: {error}"[:300])
        return Asked(began, time.time(), text or "", path, failure)
