"""Minutes of full load through a chain of sidecars: memory must stay flat, no connection and no request may be left.

    python -m bench.soak [--minutes 10] [--sidecars 3] [--write docs/benchmarks.md]

Exit codes: 0 it held, 1 it did not, or cannot run.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import engine as engine_says
from bench import proc, soak_report
from bench.build import compile_tools
from bench.cascade import CASCADE, sidecars
from bench.document import write_section
from bench.errors import BenchError
from bench.flatness import Soak, Traffic, Watched
from bench.machine import machine
from bench.measure import Meter
from bench.processes import Command, Group, allow_many_files, free_ports, pinned, running, stop_all_when_told, two_cores
from bench.targets import Target

CLIENTS = {
    "whole answers": "-c 16 -n 1",
    "fast streams": "-c 16 -n 64 -s",
    "paced streams": "-c 100 -n 50 -s -i 20000 -g 20000",
    "long prompts": "-c 2 -n 4 -s -b 100000 -t 50000",
    "streams hung up on": "-c 8 -n 200 -s -i 5000 -a 5",
    "requests hung up on": "-c 4 -n 50 -s -i 5000 -a 0 -t 20000",
    "slow readers": "-c 8 -n 5000 -s -r 2048",
}
"""Arguments of the load generator, by the name that the report uses."""
GRACE = 60
"""Seconds for what is in flight at the end."""
EVERY = 2.0
"""Seconds between two looks at memory."""
CLOSING = 120.0
"""Seconds within which connections must be gone; idle ones between sidecars may stay for 75."""


def main() -> int:
    """Soak, print, write."""
    parser = argparse.ArgumentParser(prog="bench.soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="default %(default)g")
    parser.add_argument("--sidecars", type=int, default=3, choices=(2, 3), help="default %(default)s")
    parser.add_argument("--write", type=Path, help="Markdown file whose section is written")
    options = parser.parse_args()
    stop_all_when_told()
    if not options.minutes > 0:
        parser.error("--minutes must be more than 0")
    try:
        soak = run(options.minutes, options.sidecars)
    except BenchError as error:
        print(f"soak: {error}", file=sys.stderr)
        return 1
    text = soak_report.render(soak)
    print(text)
    if options.write:
        write_section(options.write, "soak", text)
    return 1 if soak.faults() else 0


def run(minutes: float, count: int) -> Soak:
    """The whole soak."""
    cores = two_cores()
    allow_many_files()
    with tempfile.TemporaryDirectory(prefix="disrouter-soak-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        tools = compile_tools(folder)
        ports, engines = free_ports(count), free_ports(count)
        every_second = [f"{port}:{2 if place + 1 < count else 0}" for place, port in enumerate(engines)]
        engine_command = Command((str(tools.engine), *every_second))
        engine = stack.enter_context(running((engine_command,), cores.tools, folder / "engine.log"))
        chain = Target("chain", ports[0], CASCADE, sidecars(folder / "chain", ports, engines, last_decides=False))
        group = stack.enter_context(running(chain.commands, cores.proxy, folder / "chain.log"))
        Meter(tools.load, cores, engine).wait_until_ready(chain, group, chain.start_seconds)
        watched = [Watched(f"agent-{place}") for place in range(count)]
        words = (str(tools.load), "-p", str(chain.port), "-m", chain.model, "-d", f"{minutes * 60:g}", "-x", str(GRACE))
        with _clients(words, cores.tools) as clients:
            _watch(group, watched, time.monotonic() + minutes * 60)
            traffic = [_counted(name, client) for name, client in clients.items()]
        streams = _wait_for_silence(engines[0])
        engine.stop()
        _wait_for_closing(group, watched)
    return Soak(
        machine=machine(),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        command=shlex.join(["python", "-m", "bench.soak", *sys.argv[1:]]),
        minutes=minutes,
        sidecars=tuple(watched),
        traffic=tuple(traffic),
        engine_streams_left=streams,
    )


@contextlib.contextmanager
def _clients(words: tuple[str, ...], core: int) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """All load generators at once, by what they do."""
    found = {
        name: subprocess.Popen(pinned((*words, *more.split()), core), stdout=subprocess.PIPE, text=True)
        for name, more in CLIENTS.items()
    }
    try:
        yield found
    finally:
        for process in found.values():
            process.kill()
            process.wait()


def _watch(group: Group, watched: list[Watched], end: float) -> None:
    """Look at memory and open files until `end`. Raises BenchError if a sidecar ends by itself."""
    started, said = time.monotonic(), 0
    while (now := time.monotonic()) < end:
        if group.ended():
            raise BenchError(f"a sidecar ended by itself:\n{group.last_words()}")
        for pid, one in zip(group.roots(), watched, strict=True):
            one.rss.append((now - started, proc.rss_kib([pid])))
            one.most_files = max(one.most_files, proc.open_files(pid))
            one.cpu_seconds = proc.cpu_seconds([pid])
        if int(now - started) // 60 > said:
            said += 1
            sizes = ", ".join(f"{one.name} {one.rss[-1][1] / 1024:.1f} MiB" for one in watched)
            print(f"minute {said}: {sizes}", file=sys.stderr, flush=True)
        time.sleep(EVERY)


def _counted(name: str, process: subprocess.Popen[str]) -> Traffic:
    try:
        text, _ = process.communicate(timeout=2 * GRACE)
        counted: dict[str, Any] = json.loads(text)
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise BenchError(f"the clients {name!r} did not end properly: {error}") from error
    return Traffic(name, *(counted[key] for key in ("started", "answered", "aborted", "failed", "cut")))


def _wait_for_silence(port: int) -> int:
    """Streams that the engine still sends when all clients have long gone: cancelling may take a moment."""
    deadline = time.monotonic() + GRACE
    while (left := engine_says.streaming(port)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def _wait_for_closing(group: Group, watched: list[Watched]) -> None:
    """Until every sidecar holds its listening socket alone, or the patience is over; what is left is kept."""
    deadline = time.monotonic() + CLOSING
    while True:
        for pid, one in zip(group.roots(), watched, strict=True):
            one.left = proc.sockets(pid).connections
        if not any(one.left for one in watched) or time.monotonic() > deadline:
            return
        time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
