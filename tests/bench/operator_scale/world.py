"""A fresh real control plane for one size, and what the benchmark does to it as its administrator."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from bench.operator_scale.cascades import KINDS
from disrouter.api import crd
from disrouter_operator.kube.resources import CASCADES, CONFIG_MAPS, SERVICES, Object, Resource, resource_of
from support import operators
from support.controlplane import HOW_TO_GET, assets, control_plane, kserve_crd

PARALLEL = 8
POLL_SECONDS = 0.1


class World:
    """Administrator's view."""

    def __init__(self, http: aiohttp.ClientSession, operator_kubeconfig: Path) -> None:
        self._http = http
        self.operator_kubeconfig = operator_kubeconfig

    async def create(self, objects: Iterable[Object]) -> None:
        """Create all; some at a time."""
        waiting = iter(objects)

        async def some() -> None:
            for obj in waiting:
                async with self._http.post(_path(resource_of(obj), obj["metadata"]["namespace"]), json=obj) as answer:
                    assert answer.status == 201, await answer.text()

        await asyncio.gather(*(some() for _ in range(PARALLEL)))

    async def namespace(self, name: str) -> None:
        """Create a namespace."""
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        async with self._http.post("/api/v1/namespaces", json=body) as answer:
            assert answer.status == 201, await answer.text()

    async def counts(self, namespace: str) -> dict[str, int]:
        """Children by kind, without reading them."""
        return {kind.plural: await self._count(kind, namespace) for kind in KINDS}

    async def all_children(self, namespace: str, cascades: int, check: Callable[[], None]) -> None:
        """Wait until every cascade has its children, and `check` before each look."""
        wanted = {kind.plural: number * cascades for kind, number in KINDS.items()}

        async def there() -> bool:
            check()
            found = await self.counts(namespace)
            return all(found[kind] >= number for kind, number in wanted.items())

        await until(there, f"{wanted} in {namespace}", 1800)

    async def children_of(self, namespace: str, names: Sequence[str]) -> None:
        """Wait until these cascades have the last child that a reconcile writes, their Service."""
        missing = set(names)

        async def there() -> bool:
            async with self._http.get(_path(SERVICES, namespace)) as answer:
                missing.difference_update([obj["metadata"]["name"] for obj in (await answer.json())["items"]])
            return not missing

        await until(there, f"children of {len(names)} cascades in {namespace}", 1800)

    async def edit(self, namespace: str, name: str, preference: float) -> float:
        """Change one cascade; seconds until its route table says so."""
        headers = {"Content-Type": "application/merge-patch+json"}
        patch = json.dumps({"spec": {"scenario": None, "preference": preference}})
        started = time.perf_counter()
        path = f"{_path(CASCADES, namespace)}/{name}"
        async with self._http.patch(path, data=patch, headers=headers) as answer:
            assert answer.status == 200, await answer.text()

        async def done() -> bool:
            async with self._http.get(f"{_path(CONFIG_MAPS, namespace)}/{name}-routes") as answer:
                table = json.loads((await answer.json())["data"]["routes.json"])
            return bool(table.get("preference") == preference)

        await until(done, f"the new route table of {name}", 120, 0.01)
        return time.perf_counter() - started

    async def _count(self, resource: Resource, namespace: str) -> int:
        async with self._http.get(_path(resource, namespace), params={"limit": "1"}) as answer:
            found = await answer.json()
        return len(found["items"]) + int(found["metadata"].get("remainingItemCount") or 0)


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    """A control plane of its own, so that no size inherits another one's objects."""
    binaries = assets()
    if binaries is None:
        raise SystemExit(f"the benchmark needs a control plane: {HOW_TO_GET}")
    await asyncio.to_thread(folder.mkdir, parents=True)
    with control_plane(binaries, folder, (kserve_crd(), crd())) as plane:
        kubeconfig = operators.service_account(plane, folder)
        token = yaml.safe_load(plane.kubeconfig.read_text())["users"][0]["user"]["token"]
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(plane.ca_file)))
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession(plane.url, headers=headers, connector=connector) as http:
            yield World(http, kubeconfig)


async def until(ready: Callable[[], Awaitable[Any]], what: str, seconds: float, poll: float = POLL_SECONDS) -> None:
    """Ask again until it is so."""
    deadline = time.monotonic() + seconds
    while not await ready():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} did not come about within {seconds:.0f} s")
        await asyncio.sleep(poll)


def _path(resource: Resource, namespace: str) -> str:
    root = f"/apis/{resource.group}" if resource.group else "/api"
    return f"{root}/{resource.version}/namespaces/{namespace}/{resource.plural}"
