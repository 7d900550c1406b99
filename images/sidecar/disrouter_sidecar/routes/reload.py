"""The hot-reloaded route table: the last good one stays until a better one is read."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from disrouter.errors import InvalidRouteTable
from disrouter.routes import RouteTable

POLL_SECONDS = 0.5
MAX_TABLE_BYTES = 1024 * 1024
"""A ConfigMap cannot hold more."""
_Signature = tuple[int, int, int]
_log = logging.getLogger(__name__)


class RouteHolder:
    """Holds the table of one cascade; `poll` looks whether the file has changed.

    A ConfigMap's file is a symlink that the kubelet switches at once; `stat` follows it, so inode, time and size tell.
    """

    def __init__(self, path: Path, cascade: str, clock: Callable[[], float]) -> None:
        self.table: RouteTable | None = None
        self.loaded_at = 0.0
        """When the current table was read, in Unix seconds."""
        self.problem: str | None = f"the route table {path} has not been read yet"
        """Why the file as it is now cannot be used; None when the current table is the file's."""
        self._path = path
        self._cascade = cascade
        self._clock = clock
        self._signature: _Signature | None = None

    def poll(self) -> bool:
        """Read the file if it changed; True when a new table took effect. Never raises for a bad file."""
        try:
            signature = self._stat()
            if signature == self._signature:
                return False
            table = self._read()
        except OSError as error:
            self._signature = None
            self._reject(f"cannot read the route table {self._path}: {error.strerror}")
            return False
        except InvalidRouteTable as error:
            self._signature = signature
            self._reject(f"the route table {self._path} is rejected: {error}")
            return False
        self._signature, self.table, self.problem, self.loaded_at = signature, table, None, self._clock()
        _log.info("route table loaded", extra={"generation": table.generation, "agents": len(table.agents)})
        return True

    def _stat(self) -> _Signature:
        status = self._path.stat()
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _read(self) -> RouteTable:
        with self._path.open("rb") as file:
            text = file.read(MAX_TABLE_BYTES + 1)
        if len(text) > MAX_TABLE_BYTES:
            raise InvalidRouteTable(f"larger than {MAX_TABLE_BYTES} bytes")
        table = RouteTable.from_json(text)
        if table.cascade != self._cascade:
            raise InvalidRouteTable(f"it belongs to cascade {table.cascade!r}, this sidecar to {self._cascade!r}")
        return table

    def _reject(self, problem: str) -> None:
        if problem == self.problem:
            return
        self.problem = problem
        kept = "none" if self.table is None else self.table.generation
        _log.error("route table cannot be used", extra={"problem": problem, "kept_generation": kept})
