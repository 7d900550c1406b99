"""The process between the runtime and a container's process: it lets nothing outlive the runtime.

    python -I -S guard.py '{"log": ..., "grace": ...}' command argument...

Standard input is the life line: the runtime holds its other end and nothing is ever written to it. When it closes -
because the runtime stops the container, or because the runtime died, however it died - the guard sends SIGTERM to the
command, SIGKILL to its whole session after `grace` seconds, and exits. No polling of a parent's id and nothing that is
particular to Linux is needed for that; `PR_SET_PDEATHSIG` covers the one case left, the guard itself being killed.

The first line on standard output is `pid <n>` or `error <text>`; the exit code is the command's (128 + n for signal n).
Standard library only and no package import: it starts in about 20 ms.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HOUSEKEEPING_SECONDS = 5.0
PR_SET_PDEATHSIG = 1
LIFE_LINE = 0


def main() -> int:
    """Run the command until it ends or the life line closes."""
    options: dict[str, Any] = json.loads(sys.argv[1])
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    try:
        child = _spawn(sys.argv[2:], options)
    except OSError as error:
        _say(f"error {error.strerror or error}")
        return 127
    _say(f"pid {child.pid}")
    try:
        _watch(child, wake_read, options)
    finally:
        _signal_session(child.pid, signal.SIGKILL)
    code = child.wait()
    return code if code >= 0 else 128 - code


def _spawn(command: list[str], options: dict[str, Any]) -> subprocess.Popen[bytes]:
    log = Path(options["log"])
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=options["cwd"],
            start_new_session=True,
            preexec_fn=lambda: _in_child(options["nice"]),  # noqa: PLW1509 - the guard has one thread
        )


def _in_child(nice: int) -> None:
    os.nice(nice)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _watch(child: subprocess.Popen[bytes], wake: int, options: dict[str, Any]) -> None:
    """Return when the child has ended; end it when the life line closes or a signal asks for it."""
    kill_at: float | None = None
    log = Path(options["log"])
    while child.poll() is None:
        waiting = [wake] if kill_at is not None else [wake, LIFE_LINE]
        limit = HOUSEKEEPING_SECONDS if kill_at is None else max(0.0, kill_at - time.monotonic())
        readable, _, _ = select.select(waiting, [], [], limit)
        signals = set(os.read(wake, 64)) if wake in readable else set()
        if kill_at is None and (LIFE_LINE in readable or signals - {signal.SIGCHLD}):
            child.terminate()
            kill_at = time.monotonic() + float(options["grace"])
        if kill_at is not None and time.monotonic() >= kill_at:
            _signal_session(child.pid, signal.SIGKILL)
            kill_at = time.monotonic() + 1.0
        bound_log(log, int(options["log_limit"]))


def bound_log(log: Path, limit: int) -> None:
    """Keep at most twice `limit` bytes: the full file moves to `.1`, and the writer, which appends, starts anew."""
    try:
        if log.stat().st_size > limit:
            shutil.copyfile(log, log.with_name(log.name + ".1"))
            os.truncate(log, 0)
    except OSError:
        pass  # a log that cannot be bounded must not end the container


def _signal_session(leader: int, number: int) -> None:
    """Signal the command and whatever it started: it leads a session of its own."""
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        pass  # macOS answers this for a group of zombies


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    sys.exit(main())
