"""The programs under measurement, as processes: their CPU time, memory, and what the operator says of itself."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from prometheus_client.samples import Sample

from bench.operator_scale.world import until
from support.controlplane import free_ports
from support.exposition import samples

WRITES = frozenset({"create", "patch", "delete"})


@dataclass(frozen=True)
class Usage:
    """Of a process since its start: CPU seconds, and the most memory that it held, in MiB."""

    cpu: float
    memory: float


class Process:
    """A running program."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    def check(self) -> None:
        """Raise SystemExit if it ended."""
        if self._process.poll() is not None:
            raise SystemExit(f"{self._process.args!r} ended: {self._log.read_text()[-2000:]}")

    async def up(self) -> bool:
        """Whether it said that it begins."""
        self.check()
        return "up" in self._log.read_text()

    def usage(self) -> Usage:
        """What it took so far (Linux)."""
        folder = Path("/proc") / str(self._process.pid)
        fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        ticks = int(fields[11]) + int(fields[12])
        peak = re.search(r"VmHWM:\s+(\d+)", (folder / "status").read_text())
        return Usage(ticks / os.sysconf("SC_CLK_TCK"), int(peak.group(1)) / 1024 if peak else 0.0)


class Operator(Process):
    """The operator, with its page of metrics."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, port: int) -> None:
        super().__init__(process, log)
        self._url = f"http://127.0.0.1:{port}/metrics"

    async def requests(self, verbs: frozenset[str] | None = None) -> float:
        """Requests to the API server so far, of these verbs."""
        found = 0.0
        for each in await self._samples():
            if each.name == "disrouter_operator_api_requests_total" and (verbs is None or each.labels["verb"] in verbs):
                found += each.value
        return found

    async def reconciles(self) -> float:
        """Passes so far."""
        return sum(each.value for each in await self._samples() if each.name == "disrouter_operator_reconciles_total")

    async def at_rest(self) -> None:
        """Wait until two looks, one after the other, see the same number of reconciles and nobody waiting."""
        last = -1.0

        async def still() -> bool:
            nonlocal last
            before, last = last, await self.reconciles()
            await asyncio.sleep(0.4)
            return before == last

        await until(still, "rest", 600)

    async def answers(self) -> bool:
        """Whether it is up."""
        try:
            await self._samples()
        except aiohttp.ClientError:
            return False
        return True

    async def _samples(self) -> list[Sample]:
        async with aiohttp.ClientSession() as http, http.get(self._url) as answer:
            return list(samples(await answer.text()))


@asynccontextmanager
async def operator(kubeconfig: Path, namespace: str, log: Path, qps: float) -> AsyncIterator[Operator]:
    """The real operator of one namespace, up."""
    (port,) = free_ports(1)
    flags = [f"--namespaces={namespace}", f"--port={port}", "--host=127.0.0.1", f"--qps={qps}", f"--burst={qps}"]
    with _running(["-m", "disrouter_operator", *flags], kubeconfig, log) as process:
        running = Operator(process, log, port)
        await until(running.answers, "the operator", 60)
        yield running


@asynccontextmanager
async def watch_loop(kubeconfig: Path, namespace: str, log: Path) -> AsyncIterator[Process]:
    """The rival."""
    with _running(["-m", "bench.operator_scale.watch_loop", namespace], kubeconfig, log) as process:
        running = Process(process, log)
        await until(running.up, "the watch loop", 60)
        yield running


@contextmanager
def _running(arguments: Sequence[str], kubeconfig: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    env = os.environ | {"KUBECONFIG": str(kubeconfig), "PYTHONPATH": os.pathsep.join(sys.path)}
    with log.open("wb") as stream:
        process = subprocess.Popen([sys.executable, *arguments], env=env, stdout=stream, stderr=stream)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
