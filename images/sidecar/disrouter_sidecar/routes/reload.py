"""The hot-reloaded route table: the last good one stays until a better one is read."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from disrouter.errors import InvalidRouteTable
from disrouter.routes import RouteTable
from disrouter_sidecar.mounted_files import Mounted

MAX_TABLE_BYTES = 1024 * 1024
"""A ConfigMap cannot hold more."""
_log = logging.getLogger(__name__)


class RouteHolder(Mounted[RouteTable]):
    """Holds the route table of one cascade as `current`; `poll` looks whether its file has changed."""

    def __init__(self, path: Path, cascade: str, clock: Callable[[], float]) -> None:
        super().__init__(path, partial(_read, cascade))
        self.loaded_at = 0.0
        """When the current table was read, in Unix seconds."""
        self._clock = clock

    def poll(self) -> bool:
        """Read the file if it has changed; True when a new table took effect. Never raises for a bad file."""
        if not super().poll():
            return False
        self.loaded_at = self._clock()
        table = self.value
        _log.info("route table loaded", extra={"generation": table.generation, "agents": len(table.agents)})
        return True


def _read(cascade: str, path: Path) -> RouteTable:
    with path.open("rb") as file:
        text = file.read(MAX_TABLE_BYTES + 1)
    try:
        return _parse(cascade, text)
    except InvalidRouteTable as error:
        raise InvalidRouteTable(f"the route table {path} is rejected: {error}") from None


def _parse(cascade: str, text: bytes) -> RouteTable:
    if len(text) > MAX_TABLE_BYTES:
        raise InvalidRouteTable(f"larger than {MAX_TABLE_BYTES} bytes")
    table = RouteTable.from_json(text)
    if table.cascade != cascade:
        raise InvalidRouteTable(f"it belongs to cascade {table.cascade!r}, this sidecar to {cascade!r}")
    return table
