"""Operator processes as a Deployment would keep them: started again whenever they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Replica:
    """One operator process; its identity stays the same over restarts, as a pod's name does."""

    def __init__(self, identity: str, kubeconfig: Path, folder: Path, **settings: str) -> None:
        self.identity = identity
        self.log = folder / f"{identity}.log"
        self._env = os.environ | {
            "KUBECONFIG": str(kubeconfig),
            "DISROUTER_IDENTITY": identity,
            "DISROUTER_HOST": "127.0.0.1",
            "DISROUTER_PORT": "0",
            "DISROUTER_SIDECAR_IMAGE": "sidecar:test",
            "DISROUTER_TRAINING_IMAGE": "trainer:test",
            **{f"DISROUTER_{key.upper()}": value for key, value in settings.items()},
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    def ensure(self) -> None:
        """Start it unless it runs."""
        if self._process is not None and self._process.poll() is None:
            return
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "disrouter_operator"]
            self._process = subprocess.Popen(command, env=self._env, stdout=log, stderr=log)
        self.starts += 1

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to a running process."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """`kill -9`, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def ended(self) -> bool:
        """Whether it ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def text(self) -> str:
        """The end of its log."""
        return f"--- {self.identity}\n{self.log.read_text()[-3000:]}" if self.log.exists() else ""


@contextmanager
def killed_at_the_end(*replicas: Replica) -> Iterator[None]:
    """No process outlives the test."""
    try:
        yield
    finally:
        for replica in replicas:
            replica.kill()
