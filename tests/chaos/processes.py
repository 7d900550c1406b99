"""Processes of pods, where the nodes are this machine's: by the uid of a pod in their control group."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROC = Path("/proc")
LARGEST_VOLUME = 4 * 2**30
"""Bytes of a pod's volume in memory."""


def of_pod(uid: str, words: str, proc: Path = PROC) -> list[int]:
    """Those of a pod whose command line has these words; none where the pod runs elsewhere."""
    return [pid for pid, command in _in_group(uid, proc) if words in command]


def named(program: str, proc: Path = PROC) -> list[int]:
    """Those that run this program."""
    return [pid for pid, command in _all(proc) if Path(command.partition(" ")[0]).name == program]


def on_nodes(program: str, proc: Path = PROC) -> list[int]:
    """Those that run this program in the network of a kubelet: not another cluster's, which has no node here."""
    networks = {_network(pid, proc) for pid in named("kubelet", proc)}
    return [pid for pid in named(program, proc) if _network(pid, proc) in networks]


def _network(pid: int, proc: Path) -> str:
    with suppress(OSError):
        return str((proc / str(pid) / "ns/net").readlink())
    return f"gone {pid}"


def kill(pids: list[int]) -> bool:
    """As `kill -9`; whether there was any."""
    send(pids, signal.SIGKILL)
    return bool(pids)


def send(pids: list[int], what: signal.Signals) -> None:
    """A signal to those that are still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, what)


@contextmanager
def filled(pid: int, folder: str, proc: Path = PROC) -> Iterator[int]:
    """A volume in memory as a process sees it, without a free byte while the block runs; how many were taken.

    None are of what is no volume of its own, or larger than a pod's: the machine's disk.
    """
    place = proc / str(pid) / "root" / folder
    file = place / "filled"
    volume = os.statvfs(place)
    small = place.is_mount() and volume.f_blocks * volume.f_frsize <= LARGEST_VOLUME
    free = volume.f_bavail * volume.f_frsize if small else 0
    try:
        if free:
            with file.open("wb") as written:
                os.posix_fallocate(written.fileno(), 0, free)
        yield free
    finally:
        file.unlink(missing_ok=True)


def _in_group(uid: str, proc: Path) -> Iterator[tuple[int, str]]:
    """Process ids and command lines; systemd's names of groups have underscores in the uid."""
    spellings = uid, uid.replace("-", "_")
    for pid, command in _all(proc):
        with suppress(OSError):
            group = (proc / str(pid) / "cgroup").read_text()
            if any(spelling in group for spelling in spellings):
                yield pid, command


def _all(proc: Path) -> Iterator[tuple[int, str]]:
    for each in proc.iterdir():
        if each.name.isdigit():
            with suppress(OSError):
                yield int(each.name), (each / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
