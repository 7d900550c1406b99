"""Processes of pods, where the nodes are this machine's: by the uid of a pod in their control group."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")


def of_pod(uid: str, words: str, proc: Path = PROC) -> list[int]:
    """Those of a pod whose command line has these words; none where the pod runs elsewhere."""
    return [pid for pid, command in _in_group(uid, proc) if words in command]


def kill(pids: list[int]) -> bool:
    """As `kill -9`; whether there was any."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return bool(pids)


def _in_group(uid: str, proc: Path) -> Iterator[tuple[int, str]]:
    """Process ids and command lines; systemd's names of groups have underscores in the uid."""
    spellings = uid, uid.replace("-", "_")
    for each in proc.iterdir():
        if not each.name.isdigit():
            continue
        with suppress(OSError):
            group = (each / "cgroup").read_text()
            if any(spelling in group for spelling in spellings):
                command = (each / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                yield int(each.name), command
