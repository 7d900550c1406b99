"""A LoRA adapter changes without a new pod: loaded into the running engine first, asked for only then.

Over vLLM's `/v1/load_lora_adapter` (it needs VLLM_ALLOW_RUNTIME_LORA_UPDATING and --enable-lora). The adapter before
the current one stays loaded, for requests that are under way with it and for a quick way back; older ones are unloaded.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass

import orjson
from msgspec.structs import replace

from disrouter.backoff import Backoff
from disrouter.routes import AdapterRoute, AgentRoute
from disrouter.terms import Awareness
from disrouter_sidecar.config import Config
from disrouter_sidecar.errors import UpstreamFailed
from disrouter_sidecar.headers import Headers
from disrouter_sidecar.http.ports import Upstream

LOAD_PATH, UNLOAD_PATH = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
CONNECT_SECONDS = 2.0
LOAD_SECONDS = 300.0
"""A large adapter from a slow disk."""
RETRIES = Backoff(first=1.0, longest=30.0)
_ALREADY = "already been loaded"
"""vLLM's message for an adapter of this name that it has: loaded before this sidecar was restarted."""
MAX_COMPLAINT = 512
"""Characters of an engine's complaint that reach the log."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Served:
    """What the engine can be asked for now."""

    model: str
    route: AgentRoute
    """As the route table has it, or what is true until its adapter is loaded."""


class Adapters:
    """Makes the engine's adapter the one that the route table names."""

    def __init__(self, config: Config, upstream: Upstream) -> None:
        self.loaded: AdapterRoute | None = None
        self.problem: str | None = None
        """Why the wanted adapter is not loaded; None when it is, or when none is wanted."""
        self.failures = 0
        self._config = config
        self._upstream = upstream
        self._wanted: AdapterRoute | None = None
        self._before: AdapterRoute | None = None
        self._changed = asyncio.Event()
        self._plain = Served("", AgentRoute(url="", cost=0.0, awareness=Awareness.NONE))
        """What was served last without an adapter."""

    def want(self, adapter: AdapterRoute | None) -> None:
        """What the current route table names."""
        if adapter != self._wanted:
            self._wanted = adapter
            self._changed.set()

    def lost(self) -> None:
        """The engine does not know the adapter any more, so it was restarted: load it again."""
        if self.loaded is not None:
            self.loaded, self._before = None, None
            self._changed.set()

    def serving(self, route: AgentRoute) -> Served:
        """The engine's model for this route. A trained agent whose adapter never loaded is its base model: prompted.

        While another adapter than the named one is served, what is known of the named one says nothing of it.
        """
        if route.adapter is None:
            if self._plain.route is not route:
                self._plain = Served(self._config.engine_model, route)
            return self._plain
        if self.loaded is None:
            awareness = Awareness.PROMPTED if route.awareness is Awareness.TRAINED else route.awareness
            base = replace(route, awareness=awareness, probability=None, preference_encoding=None)
            return Served(self._config.engine_model, base)
        if self.loaded != route.adapter:
            return Served(self.loaded.name, replace(route, probability=None, preference_encoding=None))
        return Served(self.loaded.name, route)

    async def run(self) -> None:
        """Follow what is wanted, for ever; after a failure again and again, more slowly each time."""
        failures = 0
        while True:
            self._changed.clear()
            failures = 0 if await self._follow() else failures + 1
            with suppress(TimeoutError):
                async with asyncio.timeout(RETRIES.delay(failures) if failures else None):
                    await self._changed.wait()
            if self._changed.is_set():
                failures = 0

    async def _follow(self) -> bool:
        wanted = self._wanted
        if wanted is None or wanted == self.loaded:
            self.problem = None
            return True
        problem = await self._post(LOAD_PATH, {"lora_name": wanted.name, "lora_path": wanted.path})
        if problem is not None and _ALREADY not in problem:
            self._complain(wanted, problem)
            return False
        outdated, self._before, self.loaded, self.problem = self._before, self.loaded, wanted, None
        _log.info("adapter loaded", extra={"adapter": wanted.name})
        if outdated is not None and outdated.name not in (wanted.name, self._before and self._before.name):
            await self._post(UNLOAD_PATH, {"lora_name": outdated.name})
        return True

    def _complain(self, wanted: AdapterRoute, problem: str) -> None:
        self.failures += 1
        text = f"the adapter {wanted.name} ({wanted.path}) cannot be loaded: {problem}"
        if text != self.problem:
            kept = self._config.engine_model if self.loaded is None else self.loaded.name
            _log.error("adapter cannot be loaded", extra={"problem": text, "kept": kept})
        self.problem = text

    async def _post(self, path: str, body: dict[str, str]) -> str | None:
        """What went wrong, None when nothing did."""
        headers: Headers = {"content-type": "application/json"}
        if self._config.engine_key is not None:
            headers = {**headers, "authorization": f"Bearer {self._config.engine_key}"}
        url = self._config.engine_url + path
        try:
            reply = await self._upstream.ask(
                url, orjson.dumps(body), headers, connect=CONNECT_SECONDS, head=LOAD_SECONDS
            )
            text = b""
            try:
                while len(text) < MAX_COMPLAINT and (piece := await reply.chunk(LOAD_SECONDS)):
                    text += piece
            finally:
                reply.close()
        except UpstreamFailed as failure:
            return str(failure)
        if 200 <= reply.status < 300:
            return None
        return f"status {reply.status}: {text[:MAX_COMPLAINT].decode(errors='replace')}"
