"""One supervised process: started through `guard`, so that it cannot outlive whoever started it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from disrouter_local.errors import CannotStart
from disrouter_local.pods import guard

LOG_LIMIT = 16 * 1024 * 1024
"""Bytes of a log file before it is moved aside; one older file is kept."""


@dataclass(frozen=True)
class Command:
    """What to run, where, and how to end it. `grace` is seconds between SIGTERM and SIGKILL."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    log: Path
    grace: float = 10.0
    nice: int = 0
    log_limit: int = LOG_LIMIT


class Process:
    """A running command. `pid` is its own, not the guard's."""

    def __init__(self, guardian: asyncio.subprocess.Process, pid: int) -> None:
        self._guard = guardian
        self.pid = pid

    @classmethod
    async def start(cls, command: Command) -> Process:
        """Start it. Raises CannotStart with the reason and the remedy."""
        options = {
            "log": str(command.log),
            "cwd": str(command.cwd),
            "grace": command.grace,
            "nice": command.nice,
            "log_limit": command.log_limit,
        }
        guardian = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-S",
            guard.__file__,
            json.dumps(options),
            *command.argv,
            env=dict(command.env),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        assert guardian.stdout is not None
        try:
            first = (await guardian.stdout.readline()).decode(errors="replace").strip()
        except asyncio.CancelledError:
            guardian.terminate()
            raise
        word, _, rest = first.partition(" ")
        if word != "pid":
            await guardian.wait()
            reason = rest or "the guard process ended"
            raise CannotStart(f"cannot start {command.argv[0]!r}: {reason}; install it or correct the command")
        return cls(guardian, int(rest))

    async def wait(self) -> int:
        """Exit code; 128 + n if signal n ended it."""
        code = await self._guard.wait()
        if code < 0:  # somebody killed the guard: end what it guarded
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            return 128 - code
        return code

    async def stop(self) -> int:
        """SIGTERM, SIGKILL to the whole session after the grace period; returns the exit code."""
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        return await self.wait()
