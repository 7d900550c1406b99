"""What /proc says of processes: CPU, memory, sockets. A process may end at any moment and then counts as nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
LISTENING = "0A"
TICKS = os.sysconf("SC_CLK_TCK")
IDLE_FIELDS = (3, 4)
"""Columns of /proc/stat in which a core does nothing: idle and iowait."""


@dataclass(frozen=True)
class Sockets:
    """TCP sockets that a process holds: those that listen, and connections by `local -> remote` port."""

    listening: int
    connections: tuple[str, ...]


def with_children(pids: Iterable[int]) -> set[int]:
    """The processes and all their descendants."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (text := _read(entry / "stat")):
            children.setdefault(int(text.rsplit(")", 1)[1].split()[1]), []).append(int(entry.name))
    found, todo = set(pids), list(pids)
    while todo:
        for child in children.get(todo.pop(), []):
            if child not in found:
                found.add(child)
                todo.append(child)
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of all threads, in nanosecond steps (schedstat), where `stat` has steps of 10 ms."""
    total = 0
    for pid in pids:
        for thread in _list(PROC / str(pid) / "task"):
            if text := _read(thread / "schedstat"):
                total += int(text.split()[0])
    return total / 1e9


def rss_kib(pids: Iterable[int]) -> int:
    """Resident memory, summed over processes."""
    lines = (line for pid in pids for line in _read(PROC / str(pid) / "status").splitlines())
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def open_files(pid: int) -> int:
    """File descriptors that a process holds."""
    return len(_list(PROC / str(pid) / "fd"))


def busy_seconds(cores: Iterable[int]) -> float:
    """Time since boot in which these cores did anything, for anybody, stolen time included."""
    names = {f"cpu{core}" for core in cores}
    total = 0
    for line in _read(PROC / "stat").splitlines():
        name, *values = line.split()
        if name in names:
            total += sum(int(value) for column, value in enumerate(values[:8]) if column not in IDLE_FIELDS)
    return total / TICKS


def sockets(pid: int) -> Sockets:
    """TCP sockets of a process, found through the inodes of its descriptors."""
    inodes = {link.removeprefix("socket:[").rstrip("]") for link in map(_link, _list(PROC / str(pid) / "fd"))}
    listening, connections = 0, []
    for table in ("tcp", "tcp6"):
        for line in _read(PROC / str(pid) / "net" / table).splitlines()[1:]:
            fields = line.split()
            if fields[9] not in inodes:
                continue
            if fields[3] == LISTENING:
                listening += 1
            else:
                local, remote = (int(address.rsplit(":", 1)[1], 16) for address in fields[1:3])
                connections.append(f"{local} -> {remote}")
    return Sockets(listening, tuple(connections))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _list(path: Path) -> list[Path]:
    try:
        return list(path.iterdir())
    except OSError:
        return []


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""
