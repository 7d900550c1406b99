"""Processes pinned to a core, that can be put to sleep while others are measured."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench import proc
from bench.errors import BenchError


@dataclass(frozen=True)
class Cores:
    """The core of the proxy under test, and the other for engine and load generator."""

    proxy: int
    tools: int


@dataclass(frozen=True)
class Command:
    """A program with its arguments and what it needs beyond our own environment."""

    words: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


class Group:
    """The processes of one target, with their children."""

    def __init__(self, processes: list[subprocess.Popen[bytes]], log: Path) -> None:
        self._processes = processes
        self._log = log

    def roots(self) -> list[int]:
        """Process ids of the commands themselves, in their order."""
        return [process.pid for process in self._processes]

    def pids(self) -> set[int]:
        """Process ids, children included."""
        return proc.with_children(self.roots())

    def ended(self) -> bool:
        """Whether any of the commands has ended by itself."""
        return any(process.poll() is not None for process in self._processes)

    def last_words(self, limit: int = 1500) -> str:
        """The end of what they printed."""
        return self._log.read_bytes()[-limit:].decode(errors="replace")

    def sleep(self) -> None:
        """Take them off the CPU until `wake`."""
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let them run again."""
        self._signal(signal.SIGCONT)

    def stop(self, patience: float = 10.0) -> None:
        """End them; whatever does not end within `patience` seconds is killed."""
        children = self.pids()
        self.wake()
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(timeout=patience)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pid in children - set(self.roots()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.pids() if self._processes else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def two_cores() -> Cores:
    """The first two cores that we may use. Raises BenchError with fewer: a proxy needs one for itself."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise BenchError("two cores are needed: one for the proxy under test, one for engine and load generator")
    return Cores(proxy=cores[0], tools=cores[1])


@contextlib.contextmanager
def running(commands: tuple[Command, ...], core: int, log: Path) -> Iterator[Group]:
    """The commands, pinned to one core; what they print goes to `log`. They are stopped at the end."""
    group = Group([], log)
    with log.open("ab") as output:
        try:
            group = Group([_start(command, core, output.fileno()) for command in commands], log)
            yield group
        finally:
            group.stop()


def pinned(words: tuple[str, ...], core: int) -> list[str]:
    """The same command on one core."""
    return ["taskset", "-c", str(core), *words]


def free_ports(count: int) -> list[int]:
    """Loopback ports that were free a moment ago, all different."""
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [int(listener.getsockname()[1]) for listener in listeners]


def stop_all_when_told() -> None:
    """A SIGTERM or a hang-up ends the bench as Ctrl-C does, so that what it started ends with it."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupted)


def _interrupted(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def allow_many_files() -> None:
    """Raise our limit of open files, which children inherit, to what the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _start(command: Command, core: int, output: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        pinned(command.words, core),
        env={**os.environ, **command.env},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
