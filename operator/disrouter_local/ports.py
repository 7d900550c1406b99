"""Loopback ports: stable ones for Services, passing ones for containers.

Both ranges lie under the ports that the system hands to outgoing connections (32768 and up on Linux), so that nobody
takes one while its owner restarts.
"""

from __future__ import annotations

import json
import socket
import zlib
from collections.abc import Callable
from pathlib import Path

from disrouter.artifacts import write_atomically
from disrouter_local.errors import LocalError

SERVICE_PORTS = range(20000, 26000)
CONTAINER_PORTS = range(26000, 32000)
LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on a loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


class PortPool:
    """Leases ports of a range: the first free one after a starting point that the caller's key decides."""

    def __init__(self, ports: range, free: Callable[[int], bool] = is_free) -> None:
        self._ports = ports
        self._free = free
        self._leased: set[int] = set()

    def lease(self, key: str, preferred: int | None = None) -> int:
        """A port that nobody listens on and nobody leased. Raises LocalError when none is left."""
        start = zlib.crc32(key.encode()) % len(self._ports)
        ordered = [*self._ports[start:], *self._ports[:start]]
        candidates: list[int] = ordered if preferred is None else [preferred, *ordered]
        for port in candidates:
            if port not in self._leased and self._free(port):
                self._leased.add(port)
                return port
        raise LocalError(f"no free port in {self._ports.start}-{self._ports.stop - 1}; stop what listens there")

    def release(self, port: int) -> None:
        self._leased.discard(port)


class ServicePorts:
    """The port of each Service, kept in a file so that an endpoint survives a restart of the runtime."""

    def __init__(self, file: Path, pool: PortPool | None = None) -> None:
        self._file = file
        self._pool = pool or PortPool(SERVICE_PORTS)
        self._ports: dict[str, int] = {}
        self._remembered = _read(file)

    def port(self, service: str, namespace: str) -> int:
        """The Service's port, leased on first use."""
        key = f"{namespace}/{service}"
        if key not in self._ports:
            # The file's path, so that two runtimes with a cascade of one name begin to look at different places.
            self._ports[key] = self._pool.lease(f"{self._file}:{key}", self._remembered.get(key))
            write_atomically(self._file, json.dumps({**self._remembered, **self._ports}, indent=1, sort_keys=True))
        return self._ports[key]

    def url(self, service: str, namespace: str) -> str:
        """Address of a Service on this machine, without a path: the local `names.service_url`."""
        return f"http://{LOOPBACK}:{self.port(service, namespace)}"


def _read(file: Path) -> dict[str, int]:
    """Remembered ports; a damaged file only costs their stability."""
    try:
        content = json.loads(file.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return {str(key): int(port) for key, port in content.items()} if isinstance(content, dict) else {}
