"""Run the load generator against one target and read beside it what the target's processes used."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from bench import proc
from bench.errors import BenchError
from bench.processes import Cores, Group, pinned
from bench.samples import Sample
from bench.targets import Target
from bench.workloads import Workload

SETTLED = 0.1
"""Cores that a target may still use when its work counts as over."""


class Meter:
    """Measures targets; knows the load generator, the cores and the engine."""

    def __init__(self, load: Path, cores: Cores, engine: Group) -> None:
        self._load = load
        self._cores = cores
        self._engine = engine

    def load(self, arguments: tuple[str, ...], limit: float = 60.0) -> dict[str, Any]:
        """What the load generator counted. Raises BenchError if it does not end or does not start."""
        try:
            found = subprocess.run(
                pinned((str(self._load), *arguments), self._cores.tools),
                capture_output=True,
                text=True,
                timeout=limit,
                check=True,
            )
        except (subprocess.SubprocessError, OSError) as error:
            raise BenchError(f"load {' '.join(arguments)}: {error}") from error
        counted: dict[str, Any] = json.loads(found.stdout)
        return counted

    def wait_until_ready(self, target: Target, group: Group, limit: float) -> None:
        """Until it answers both ways, whole and streamed. Raises BenchError after `limit` seconds."""
        deadline = time.monotonic() + limit
        probe = ("-p", str(target.port), "-m", target.model, "-n", "3", "-d", "0.05")
        while not all(self._answers((*probe, *way)) for way in ((), ("-s",))):
            if time.monotonic() > deadline or group.ended():
                raise BenchError(f"{target.name} does not answer on port {target.port}:\n{group.last_words()}")
            time.sleep(0.1)

    def measure(self, workload: Workload, target: Target, group: Group, number: int, scale: float) -> Sample:
        """One sample; `scale` shortens or lengthens the workload's times."""
        pids, own = group.pids(), {os.getpid(), *self._engine.pids()}
        cores = (self._cores.proxy, self._cores.tools)
        self.load(workload.warming(target.port, target.model))
        cpu, ours = proc.cpu_seconds(pids), proc.cpu_seconds(own) + _children()
        busy, started = proc.busy_seconds(cores), time.monotonic()
        counted = self.load(workload.arguments(target.port, target.model, scale))
        elapsed = time.monotonic() - started
        cpu = proc.cpu_seconds(pids) - cpu
        ours = proc.cpu_seconds(own) + _children() - ours
        busy = proc.busy_seconds(cores) - busy
        return Sample(
            workload=workload.name,
            target=target.name,
            round=number,
            answered=counted["answered"],
            tokens=counted["tokens"],
            failed=counted["failed"],
            cut=counted["cut"],
            cpu_seconds=cpu,
            requests_per_s=counted["requests_per_s"],
            tokens_per_s=counted["tokens_per_s"],
            foreign=max(0.0, busy - cpu - ours) / elapsed,
            first_token_us=counted.get("first_token_p50_us"),
            token_delay_us=counted.get("token_delay_p50_us"),
            token_delay_p99_us=counted.get("token_delay_p99_us"),
        )

    def settle(self, group: Group, limit: float = 3.0, step: float = 0.05) -> None:
        """Give a target time to end what it still does for requests that were cut."""
        deadline = time.monotonic() + limit
        pids = group.pids()
        while time.monotonic() < deadline:
            before = proc.cpu_seconds(pids)
            time.sleep(step)
            if proc.cpu_seconds(pids) - before < SETTLED * step:
                return

    def _answers(self, probe: tuple[str, ...]) -> bool:
        counted = self.load(probe)
        return bool(counted["answered"]) and not counted["failed"] and not counted["cut"]


def _children() -> float:
    """CPU seconds of our own children that have ended: the load generators."""
    times = os.times()
    return times.children_user + times.children_system
