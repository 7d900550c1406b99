"""One container's life: start, probe, restart with backoff, stop; and its ContainerStatus."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disrouter.backoff import Backoff
from disrouter_local.errors import CannotStart
from disrouter_local.objects import Clock, stamp
from disrouter_local.pods.probes import Prober, Probes
from disrouter_local.pods.process import Command, Process

RESTART = Backoff(first=0.5, longest=60.0)
HEALTHY_SECONDS = 60.0
"""Uptime after which earlier failures are forgotten."""
MESSAGE_LIMIT = 4096
"""Bytes of a termination message, as in Kubernetes."""
TAIL_LINES = 10
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Spec:
    """Everything that a container's life needs; `message` is its termination log."""

    name: str
    image: str
    command: Command
    probes: Probes
    restart: bool
    message: Path | None


class Container:
    """Runs until stopped, or until it ends where it is not to be restarted. `changed` is called on every change."""

    def __init__(self, spec: Spec, clock: Clock, changed: Callable[[], None]) -> None:
        self.spec = spec
        self.ready = False
        self.restarts = 0
        self.exit_code: int | None = None
        """Of a container that has ended for good."""
        self.pid: int | None = None
        self._clock = clock
        self._changed = changed
        self._state: dict[str, Any] = {"waiting": {"reason": "ContainerCreating"}}
        self._last: dict[str, Any] = {}
        self._process: Process | None = None
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._live(), name=f"container {self.spec.name}")

    async def stop(self) -> None:
        """SIGTERM, SIGKILL after the grace period; returns when the process has ended. Idempotent."""
        self._stopping.set()
        if self._process is not None:
            await self._process.stop()
        if self._task is not None:
            await self._task

    async def wait(self) -> None:
        """Return when it has ended for good. Cancelling the wait leaves the container alone."""
        if self._task is not None:
            await asyncio.wait({self._task})

    def status(self) -> dict[str, Any]:
        """ContainerStatus of the Pod API."""
        status: dict[str, Any] = {
            "name": self.spec.name,
            "image": self.spec.image,
            "imageID": "",
            "ready": self.ready,
            "started": self.pid is not None,
            "restartCount": self.restarts,
            "state": self._state,
            "lastState": self._last,
        }
        if self.pid is not None:
            status["containerID"] = f"process://{self.pid}"
        return status

    async def _live(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            began = asyncio.get_running_loop().time()
            code = await self._attempt()
            if self._stopping.is_set() or not self.spec.restart:
                self._finish(code)
                return
            failures = 1 if asyncio.get_running_loop().time() - began > HEALTHY_SECONDS else failures + 1
            self.restarts += 1
            await self._rest(RESTART.delay(failures))
        self._finish(0)

    async def _attempt(self) -> int:
        """Run it once. A command that cannot be started or watched counts as one that ended with 127."""
        try:
            return await self._run_once()
        except Exception as error:
            message = str(error)
            if not isinstance(error, CannotStart):
                logger.exception("container %s failed to run", self.spec.name)
                message = f"{type(error).__name__}: {error}; the runtime's log says more"
            if self._process is not None:
                await self._process.stop()
            self._process, self.pid, self.ready = None, None, False
            self._last = {"terminated": {"exitCode": 127, "reason": "StartError", "message": message}}
            return 127

    async def _run_once(self) -> int:
        """From start to end; the exit code."""
        if self.spec.message is not None:
            self.spec.message.unlink(missing_ok=True)
        process = await Process.start(self.spec.command)
        started = stamp(self._clock())
        self._process, self.pid = process, process.pid
        self._set({"running": {"startedAt": started}})
        if self._stopping.is_set():
            await process.stop()
        code, reason = await self._supervise(process)
        self._process, self.pid, self.ready = None, None, False
        ended = {"exitCode": code, "reason": reason, "startedAt": started, "finishedAt": stamp(self._clock())}
        message = self._message(code)
        self._last = {"terminated": {**ended, "message": message} if message else ended}
        return code

    async def _supervise(self, process: Process) -> tuple[int, str]:
        """Wait for the end; probes may bring it about."""
        prober = asyncio.create_task(Prober(self.spec.probes, self._set_ready).run())
        ended = asyncio.create_task(process.wait())
        try:
            await asyncio.wait({prober, ended}, return_when=asyncio.FIRST_COMPLETED)
            if prober.done() and not ended.done():
                self._set_ready(False)
                return await process.stop(), prober.result()
            code = await ended
            return code, "Completed" if code == 0 else "Error"
        finally:
            prober.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await prober

    async def _rest(self, seconds: float) -> None:
        terminated = self._last.get("terminated", {})
        why = terminated.get("message") or f"ended with exit code {terminated.get('exitCode')}"
        message = f"back-off {seconds:.1f} s; {why}; see {self.spec.command.log}"
        self._set({"waiting": {"reason": "CrashLoopBackOff", "message": message}})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def _finish(self, code: int) -> None:
        self.exit_code = code
        self._set(self._last or {"terminated": {"exitCode": code, "reason": "Completed"}})

    def _message(self, code: int) -> str:
        """The termination message; where there is none after a failure, the end of the log."""
        if self.spec.message is not None and self.spec.message.is_file():
            text = self.spec.message.read_bytes()[:MESSAGE_LIMIT].decode(errors="replace").strip()
            if text:
                return text
        return tail(self.spec.command.log) if code not in (0, 143) else ""

    def _set_ready(self, ready: bool) -> None:
        self.ready = ready
        self._changed()

    def _set(self, state: dict[str, Any]) -> None:
        self._state = state
        self._changed()


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log, bounded like a termination message."""
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - MESSAGE_LIMIT // 2))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.strip().splitlines()[-lines:])
