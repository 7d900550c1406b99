"""A container's startup, readiness and liveness probes, with the kubelet's meaning.

Two deliberate differences: until a probe has first succeeded it is tried at least every second, because nobody waits
ten seconds on a laptop; and a container without a readiness probe is ready when it has started.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from disrouter_local.ports import LOOPBACK

EAGER_SECONDS = 1.0
MAX_ANSWER = 4096


@dataclass(frozen=True)
class Probe:
    """How to ask, and how many failures mean what. `path` None: a TCP connection is enough. Seconds."""

    port: int
    path: str | None
    period: float = 10.0
    timeout: float = 1.0
    delay: float = 0.0
    failures: int = 3

    @classmethod
    def of(cls, spec: Mapping[str, Any], resolve: Callable[[int | str], int]) -> Probe | None:
        """From a Pod's probe; None for a kind of probe that has no meaning on this node (exec, grpc)."""
        http: Mapping[str, Any] | None = spec.get("httpGet")
        target: Mapping[str, Any] | None = http or spec.get("tcpSocket")
        if target is None:
            return None
        return cls(
            port=resolve(target["port"]),
            path=str(http.get("path", "/")) if http else None,
            period=float(spec.get("periodSeconds", 10)),
            timeout=float(spec.get("timeoutSeconds", 1)),
            delay=float(spec.get("initialDelaySeconds", 0)),
            failures=int(spec.get("failureThreshold", 3)),
        )


@dataclass(frozen=True)
class Probes:
    """The probes of one container."""

    startup: Probe | None = None
    readiness: Probe | None = None
    liveness: Probe | None = None


async def ask(probe: Probe) -> bool:
    """One attempt: a connection, and for HTTP a status from 200 to 399."""
    try:
        async with asyncio.timeout(probe.timeout):
            reader, writer = await asyncio.open_connection(LOOPBACK, probe.port)
            try:
                return probe.path is None or await _http_ok(reader, writer, probe.path)
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError, IndexError):
        return False


async def _http_ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> bool:
    head = f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\nUser-Agent: kube-probe\r\nConnection: close\r\n\r\n"
    writer.write(head.encode())
    line = await reader.readline()
    await reader.read(MAX_ANSWER)
    return 200 <= int(line.split()[1]) < 400


class Prober:
    """Runs the probes of a running container and tells what they say."""

    def __init__(
        self, probes: Probes, on_ready: Callable[[bool], None], attempt: Callable[[Probe], Awaitable[bool]] = ask
    ) -> None:
        self._probes = probes
        self._on_ready = on_ready
        self._attempt = attempt

    async def run(self) -> str:
        """Probe until the container has to be restarted; returns why. Runs for ever in a healthy container."""
        startup = self._probes.startup
        if startup is not None and not await self._started(startup):
            return f"startup probe failed for {startup.failures * startup.period:.0f} s"
        async with asyncio.TaskGroup() as group:
            ready = group.create_task(self._ready())
            await self._alive()
            ready.cancel()
        return "liveness probe failed"

    async def _started(self, probe: Probe) -> bool:
        await asyncio.sleep(probe.delay)
        deadline = asyncio.get_running_loop().time() + probe.failures * probe.period
        while not await self._attempt(probe):
            if asyncio.get_running_loop().time() >= deadline:
                return False
            await asyncio.sleep(min(EAGER_SECONDS, probe.period))
        return True

    async def _ready(self) -> None:
        probe = self._probes.readiness
        if probe is None:
            self._on_ready(True)
            return
        await asyncio.sleep(probe.delay)
        ready, failures = False, 0
        while True:
            success = await self._attempt(probe)
            failures = 0 if success else failures + 1
            if success != ready and (success or failures >= probe.failures):
                ready = success
                self._on_ready(ready)
            await asyncio.sleep(probe.period if ready else min(EAGER_SECONDS, probe.period))

    async def _alive(self) -> None:
        """Returns when the container is to be restarted."""
        probe = self._probes.liveness
        if probe is None:
            await asyncio.Event().wait()
            return
        await asyncio.sleep(probe.delay)
        failures = 0
        while failures < probe.failures:
            await asyncio.sleep(probe.period)
            failures = 0 if await self._attempt(probe) else failures + 1
