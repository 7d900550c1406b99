"""Supervised processes, with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from disrouter_local.errors import CannotStart
from disrouter_local.pods.guard import bound_log
from disrouter_local.pods.process import Command, Process
from support.local import alive, python, until

FAMILY = """
import os, subprocess, sys, time, signal
deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", deaf])
open("pids", "w").write(f"{os.getpid()} {child.pid}")
time.sleep(60)
"""
"""A process with a child that ignores SIGTERM, like an engine with its worker."""

OWNER = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from support.local import python
from disrouter_local.pods.process import Process
async def main():
    await Process.start(python(Path(sys.argv[1]), Path(sys.argv[1], "family.py").read_text(), grace=0.5))
    print("started", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


async def test_exit_code_output_and_environment_are_the_commands_own(tmp_path: Path) -> None:
    process = await Process.start(
        python(tmp_path, "import os, sys; print(os.environ['WORD']); sys.exit(75)", WORD="hi")
    )
    assert await process.wait() == 75
    assert (tmp_path / "log" / "out.log").read_text() == "hi\n"


async def test_a_signal_becomes_128_plus_its_number(tmp_path: Path) -> None:
    process = await Process.start(python(tmp_path, "import time; time.sleep(60)"))
    os.kill(process.pid, signal.SIGKILL)
    assert await process.wait() == 137


async def test_stop_lets_the_command_end_by_itself(tmp_path: Path) -> None:
    code = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(3)); print('up'); time.sleep(60)"
    process = await Process.start(python(tmp_path, code))
    await until(lambda: (tmp_path / "log" / "out.log").read_text() == "up\n")
    assert await process.stop() == 3


async def test_stop_kills_what_ignores_sigterm_and_its_children(tmp_path: Path) -> None:
    process = await Process.start(python(tmp_path, FAMILY, grace=0.3))
    pids = await until(lambda: _pids(tmp_path))
    assert await process.stop() == 143
    await until(lambda: not any(alive(pid) for pid in pids))


async def test_children_do_not_outlive_a_command_that_crashes(tmp_path: Path) -> None:
    process = await Process.start(python(tmp_path, FAMILY))
    parent, child = await until(lambda: _pids(tmp_path))
    os.kill(parent, signal.SIGKILL)
    await process.wait()
    await until(lambda: not alive(child))


async def test_nothing_survives_kill_9_of_the_owner(tmp_path: Path) -> None:
    (tmp_path / "family.py").write_text(FAMILY)
    tests = Path(__file__).parents[2]
    owner = await asyncio.create_subprocess_exec(sys.executable, "-c", OWNER, str(tmp_path), str(tests))
    try:
        pids = await until(lambda: _pids(tmp_path))
    finally:
        owner.kill()
        await owner.wait()
    await until(lambda: not any(alive(pid) for pid in pids))


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
async def test_killing_the_guard_kills_what_it_guards(tmp_path: Path) -> None:
    process = await Process.start(python(tmp_path, FAMILY))
    pids = await until(lambda: _pids(tmp_path))
    os.kill(_parent(process.pid), signal.SIGKILL)
    assert await process.wait() == 137
    await until(lambda: not any(alive(pid) for pid in pids))


async def test_a_command_that_does_not_exist_says_so(tmp_path: Path) -> None:
    command = Command(("no-such-program",), {"PATH": os.environ["PATH"]}, tmp_path, tmp_path / "log")
    with pytest.raises(CannotStart, match=r"no-such-program.*No such file.*install it"):
        await Process.start(command)


async def test_many_processes_stop_together(tmp_path: Path) -> None:
    started = [await Process.start(python(tmp_path, "import time; time.sleep(60)")) for _ in range(4)]
    assert await asyncio.gather(*(process.stop() for process in started)) == [143] * 4


def test_a_full_log_moves_aside_and_the_writer_starts_anew(tmp_path: Path) -> None:
    log = tmp_path / "out.log"
    with log.open("a") as writer:
        writer.write("x" * 100)
        writer.flush()
        bound_log(log, 50)
        writer.write("new")
    assert log.read_text() == "new"
    assert (tmp_path / "out.log.1").read_text() == "x" * 100


def _pids(folder: Path) -> list[int]:
    path = folder / "pids"
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
