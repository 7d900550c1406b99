"""The state folder of one runtime: where everything lies, who holds it, how others find it.

objects/            the store
logs/<pod>/<container>.log, logs/runtime.log
pods/<uid>/         a pod's mounts and working folders while it lives
volumes/<claim>/    claims without a folder of their own
ports.json          Service -> loopback port
runtime.json        pid and volumes of the runtime that holds the folder
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from disrouter.artifacts import write_atomically
from disrouter_local.errors import AlreadyRunning
from disrouter_local.pods.volumes import Claims
from disrouter_local.store.folder import Folder
from disrouter_local.store.store import Store

LOCK_ATTEMPTS = 10


@dataclass(frozen=True)
class StateFolder:
    """Paths below the root; nothing is created before it is needed."""

    root: Path

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def runtime_log(self) -> Path:
        return self.logs / "runtime.log"

    @property
    def pods(self) -> Path:
        return self.root / "pods"

    @property
    def ports(self) -> Path:
        return self.root / "ports.json"

    @property
    def runtime(self) -> Path:
        return self.root / "runtime.json"

    def volumes(self) -> dict[str, Path]:
        """Folders of claims as they were named last."""
        content = _json(self.root / "volumes.json") or {}
        return {str(name): Path(path) for name, path in content.items()}

    def remember(self, volumes: Mapping[str, Path]) -> None:
        """Keep the folders of claims for the next runtime: without them it would train and serve elsewhere."""
        text = json.dumps({name: str(path) for name, path in volumes.items()}, indent=1)
        write_atomically(self.root / "volumes.json", text + "\n")

    def store(self) -> Store:
        """The objects, shared with every other process that opens them."""
        return Store(Folder(self.root / "objects"))

    def claims(self, named: Mapping[str, Path]) -> Claims:
        return Claims(self.root / "volumes", named)

    def log(self, pod: str, container: str) -> Path:
        return self.logs / pod / f"{container}.log"

    @contextlib.contextmanager
    def held(self, info: Mapping[str, Any]) -> Iterator[None]:
        """Hold the folder and publish `info` (with `pid`). Raises AlreadyRunning if another runtime holds it.

        The lock is the kernel's: it ends with the process, however that ends.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "runtime.lock").open("a") as file:
            if not _lock(file):
                pid = (self._published() or {}).get("pid", "unknown")
                raise AlreadyRunning(
                    f"a runtime (pid {pid}) already holds {self.root}; stop it with `disrouter down`, apply to it with "
                    "`disrouter apply`, or choose another folder with --state"
                )
            write_atomically(self.runtime, json.dumps(dict(info), indent=1) + "\n")
            try:
                yield
            finally:
                self.runtime.unlink(missing_ok=True)

    def running(self) -> dict[str, Any] | None:
        """What the runtime that holds the folder published; None while nobody holds it."""
        try:
            with (self.root / "runtime.lock").open("r") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return None
        except OSError:
            return self._published()
        return None

    def _published(self) -> dict[str, Any] | None:
        return _json(self.runtime)


def _json(file: Path) -> dict[str, Any] | None:
    """An object from a file that this program wrote; None if it is missing or damaged."""
    try:
        content = json.loads(file.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _lock(file: IO[str]) -> bool:
    """Take the lock; a few attempts, because `running` holds it for an instant to look."""
    for _ in range(LOCK_ATTEMPTS):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.02)
        else:
            return True
    return False
