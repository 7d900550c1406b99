"""Files that the kubelet swaps under a running process: read again when they change, the last good value kept."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Self, TypeVar

from disrouter.errors import DisrouterError
from disrouter_sidecar.errors import InvalidConfig

POLL_SECONDS = 0.5
"""Between two looks at mounted files."""
T = TypeVar("T")
_Stamp = tuple[str, int, int, int]
_log = logging.getLogger(__name__)


class Mounted(Generic[T]):
    """Value of a mounted file or folder. `read` raises OSError or DisrouterError, never with a secret in its text."""

    def __init__(self, path: Path, read: Callable[[Path], T]) -> None:
        self.current: T | None = None
        """The last good value, None before the first."""
        self.problem: str | None = f"{path} has not been read yet"
        """Why the files as they are now cannot be used; None when `current` is theirs."""
        self._path = path
        self._read = read
        self._stamps: tuple[_Stamp, ...] | None = None

    @classmethod
    def required(cls, path: Path, read: Callable[[Path], T]) -> Self:
        """Read at once. Raises InvalidConfig: what starts without its secrets must not serve."""
        mounted = cls(path, read)
        mounted.poll()
        if mounted.problem is not None:
            raise InvalidConfig(mounted.problem)
        return mounted

    @property
    def value(self) -> T:
        """The last good value. Raises InvalidConfig before the first."""
        if self.current is None:
            raise InvalidConfig(str(self.problem))
        return self.current

    def poll(self) -> bool:
        """Read the files if they have changed; True when another value took effect. Never raises for bad files."""
        try:
            stamps = self._look()
            if stamps == self._stamps:
                return False
            value = self._read(self._path)
        except OSError as error:
            self._report(f"cannot read {self._path}: {error.strerror}; mount it there")
            return False
        except DisrouterError as error:
            self._report(str(error))
            return False
        self.current, self.problem, self._stamps = value, None, stamps
        _log.info("mounted files loaded", extra={"path": str(self._path)})
        return True

    def _look(self) -> tuple[_Stamp, ...]:
        """Names, inodes, times and sizes: `stat` follows the symlink that the kubelet switches at once."""
        files = files_of(self._path) if self._path.is_dir() else [self._path]
        return tuple((file.name, *_stamp(file)) for file in files)

    def _report(self, problem: str) -> None:
        """Log a problem once. Files that are the same again afterwards are read again."""
        self._stamps = None
        if problem != self.problem:
            self.problem = problem
            _log.error("mounted files cannot be used, the last good ones are kept", extra={"problem": problem})


def files_of(folder: Path) -> list[Path]:
    """The files of a mounted Secret, without the kubelet's own hidden entries."""
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith(".") and entry.is_file())


def _stamp(file: Path) -> tuple[int, int, int]:
    status = file.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size
