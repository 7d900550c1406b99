"""A bench that is ended early leaves nothing running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.local import alive

BENCH = """
import sys, time
from pathlib import Path
from bench.processes import Command, running, stop_all_when_told, two_cores
stop_all_when_told()
with running((Command(("sleep", "1000")),), two_cores().proxy, Path(sys.argv[1])) as group:
    group.sleep()
    print(*group.roots(), flush=True)
    time.sleep(1000)
"""


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="a bench takes two cores")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_what_a_bench_started_ends_with_it(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", BENCH, str(tmp_path / "log")]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as bench:
        assert bench.stdout is not None
        started = int(bench.stdout.readline())
        assert alive(started)
        bench.send_signal(number)
        assert bench.wait(timeout=30) != 0
    assert not alive(started)
