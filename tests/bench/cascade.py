"""Sidecars as a pod would run them: `python -m disrouter_sidecar` with the environment that the operator sets."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from bench.processes import Command
from disrouter.routes import AgentRoute, Awareness, RouteTable

CASCADE = "pool"
"""The cascade's name, which clients give as model."""
URL_OF_NOBODY = "http://127.0.0.1:9"


def interpreter() -> str:
    """The system's Python of our version, if there is one: built with profiles (PGO), as that of the image is. One that
    somebody has built for himself often is not, and takes a tenth more. Else our own."""
    major, minor = sys.version_info[:2]
    return shutil.which(f"python{major}.{minor}", path="/usr/bin") or sys.executable


def sidecars(folder: Path, ports: list[int], engines: list[int], *, last_decides: bool) -> tuple[Command, ...]:
    """A chain of sidecars on `ports`, each in front of the engine port of the same place.

    With `last_decides` the last agent is trained as well, and a refusal of it would go to an agent that is not there:
    so a chain of one does a sidecar's whole work. Otherwise the last agent always answers, as in a real cascade.
    """
    folder.mkdir(parents=True, exist_ok=True)
    routes = folder / "routes.json"
    routes.write_text(_table(ports, last_decides=last_decides).to_json())
    return tuple(
        Command((interpreter(), "-m", "disrouter_sidecar"), _environment(f"agent-{place}", port, engine, routes))
        for place, (port, engine) in enumerate(zip(ports, engines, strict=True))
    )


def _table(ports: list[int], *, last_decides: bool) -> RouteTable:
    urls = [f"http://127.0.0.1:{port}" for port in ports] + [URL_OF_NOBODY] * last_decides
    last = len(urls) - 1
    agents = {
        f"agent-{place}": AgentRoute(
            url=url,
            cost=0.1,
            awareness=Awareness.TRAINED if place < last else Awareness.NONE,
            next=f"agent-{place + 1}" if place < last else None,
        )
        for place, url in enumerate(urls)
    }
    return RouteTable(generation=1, cascade=CASCADE, entrypoint="agent-0", agents=agents)


def _environment(name: str, port: int, engine: int, routes: Path) -> dict[str, str]:
    return {
        "DISROUTER_CASCADE": CASCADE,
        "DISROUTER_AGENT": name,
        "DISROUTER_ENGINE_URL": f"http://127.0.0.1:{engine}",
        "DISROUTER_ENGINE_MODEL": "engine",
        "DISROUTER_ROUTES": str(routes),
        "DISROUTER_HOST": "127.0.0.1",
        "DISROUTER_PORT": str(port),
        "DISROUTER_LINGER_SECONDS": "0",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path and not path.startswith(sys.base_prefix)),
    }
