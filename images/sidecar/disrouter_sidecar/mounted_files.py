"""Files that the kubelet swaps under a running process: read again when they change, the last good value kept."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from disrouter_sidecar.errors import InvalidConfig

T = TypeVar("T")
_Stamp = tuple[str, int, int, int]
_log = logging.getLogger(__name__)


class Mounted(Generic[T]):
    """What a mounted file or folder says. `read` raises InvalidConfig, never with a secret in its text."""

    def __init__(self, path: Path, read: Callable[[Path], T]) -> None:
        """Read it for the first time. Raises InvalidConfig: what starts without its secrets must not serve."""
        self._path = path
        self._read = read
        self._stamps = self._look()
        self.value = self._load()
        self._problem: str | None = None

    def poll(self) -> bool:
        """Read it again if it changed; True when another value took effect. Never raises."""
        try:
            stamps = self._look()
            if stamps == self._stamps:
                return False
            value = self._load()
        except InvalidConfig as error:
            self._tell(str(error))
            return False
        self._stamps, self.value, self._problem = stamps, value, None
        _log.info("mounted files loaded", extra={"path": str(self._path)})
        return True

    def _load(self) -> T:
        try:
            return self._read(self._path)
        except OSError as error:
            raise InvalidConfig(f"cannot read {self._path}: {error.strerror}") from None

    def _look(self) -> tuple[_Stamp, ...]:
        """Names, inodes, times and sizes: `stat` follows the symlink that the kubelet switches at once."""
        try:
            files = files_of(self._path) if self._path.is_dir() else [self._path]
            return tuple((file.name, *_stamp(file)) for file in files)
        except OSError as error:
            raise InvalidConfig(f"cannot read {self._path}: {error.strerror}; mount it there") from None

    def _tell(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            _log.error("mounted files cannot be used, the last ones are kept", extra={"problem": problem})


def files_of(folder: Path) -> list[Path]:
    """The files of a mounted Secret, without the kubelet's own hidden entries."""
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith(".") and entry.is_file())


def _stamp(file: Path) -> tuple[int, int, int]:
    status = file.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size
