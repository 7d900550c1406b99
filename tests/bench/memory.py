"""How much memory a target takes, alone and with many streams open."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from bench import engine as engines
from bench import proc
from bench.measure import Meter
from bench.processes import Cores, pinned, running
from bench.samples import Memory
from bench.targets import Target

OPENING_US = 1000
"""Between the starts of two streams."""
PACE_US = 2_000_000
"""Between two tokens of a stream: it is open, and nearly idle."""
PATIENCE = 15.0
"""Seconds that the streams may take to open."""


def measure_memory(
    meter: Meter, target: Target, *, load: Path, cores: Cores, folder: Path, engine: int, number: int, streams: int
) -> Memory:
    """Start the target afresh, ask it a few times, open the streams; its resident memory before and after.

    `engine` is a port of the engine, which knows how many streams have come through.
    """
    with running(target.commands, cores.proxy, folder / f"{target.name}.log") as group:
        meter.wait_until_ready(target, group, target.start_seconds)
        idle = proc.rss_kib(group.pids())
        words = (
            str(load), "-p", str(target.port), "-m", target.model, "-s", "-c", str(streams), "-n", "100",
            "-i", str(PACE_US), "-g", str(OPENING_US), "-d", "60",
        )  # fmt: skip
        client = subprocess.Popen(pinned(words, cores.tools), stdout=subprocess.DEVNULL)
        try:
            opened = _wait_for_streams(engine, streams)
            return Memory(target.name, number, idle, proc.rss_kib(group.pids()), opened)
        finally:
            client.kill()
            client.wait()


def _wait_for_streams(engine: int, wanted: int) -> int:
    """How many streams the engine sends once all are open, or after a while: a slow proxy opens them slowly."""
    deadline = time.monotonic() + PATIENCE
    while (opened := engines.streaming(engine)) < wanted and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(PACE_US / 1e6)  # let every stream carry a token
    return opened
