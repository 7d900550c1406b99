"""A sidecar as a process of its own, so that its memory and its end are its own too."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disrouter.routes import AgentRoute, Awareness, RouteTable
from support.sidecars import free_port

MIB = 1024 * 1024
EMPTY: Mapping[str, object] = {}
NO_VARIABLES: Mapping[str, str] = {}


def line(urls: Mapping[str, str], **changes: object) -> RouteTable:
    """A table of these agents, cheapest first."""
    names = list(urls)
    agents = {
        name: AgentRoute(
            url=urls[name],
            cost=round(0.1 + 0.1 * index, 1),
            awareness=Awareness.TRAINED if index + 1 < len(names) else Awareness.NONE,
            next=names[index + 1] if index + 1 < len(names) else None,
        )
        for index, name in enumerate(names)
    }
    fields: dict[str, Any] = {"generation": 1, "cascade": "qwen", "entrypoint": names[0], "agents": agents}
    return RouteTable(**(fields | changes))


@dataclass
class Running:
    """A sidecar's process."""

    process: asyncio.subprocess.Process
    url: str
    files_at_first: int = 0
    """Descriptors that it held when nobody had asked yet."""

    def __post_init__(self) -> None:
        self.files_at_first = self.files()

    def memory(self) -> float:
        """MiB that it holds now."""
        return self._status("VmRSS")

    def peak(self) -> float:
        """MiB that it held at most."""
        return self._status("VmHWM")

    def files(self) -> int:
        """Descriptors that it holds, connections among them."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def _status(self, name: str) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024 / MIB

    async def end(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), 120)


@asynccontextmanager
async def process(
    folder: Path,
    engine: str,
    others: Mapping[str, str],
    *,
    changes: Mapping[str, object] = EMPTY,
    env: Mapping[str, str] = NO_VARIABLES,
    stderr: int | None = None,
) -> AsyncIterator[Running]:
    """The sidecar of `small`, in front of `engine`, with `others` after it; `changes` are the route table's.

    Its log goes to `sidecar.log`, or to the descriptor `stderr`.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    routes = folder / "routes.json"
    routes.write_text(line({"small": url, **others}, **changes).to_json())
    own = {
        "DISROUTER_CASCADE": "qwen",
        "DISROUTER_AGENT": "small",
        "DISROUTER_ENGINE_URL": engine,
        "DISROUTER_ENGINE_MODEL": "m",
        "DISROUTER_ROUTES": str(routes),
        "DISROUTER_HOST": "127.0.0.1",
        "DISROUTER_PORT": str(port),
        "DISROUTER_LOG_LEVEL": "warning",
        "DISROUTER_LINGER_SECONDS": "0",
        "PATH": os.environ["PATH"],
    }
    with (folder / "sidecar.log").open("wb") as log:
        running = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "disrouter_sidecar", env={**own, **env}, stderr=log if stderr is None else stderr
        )
    try:
        await _listening(running, port)
        yield Running(running, url)
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


async def _listening(running: asyncio.subprocess.Process, port: int) -> None:
    async with asyncio.timeout(60):
        while True:
            assert running.returncode is None, "the sidecar ended at once"
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            await writer.wait_closed()
            return
