"""A reverse proxy in front of a real API server that answers wrongly when asked to, and remembers who asked for what.

Clients speak plain HTTP to it with their own token; it speaks TLS to the API server. Faults are drawn from a seeded
generator, so that a failure can be played again: refusals that never reach the API server, answers that are lost after
it did the work, watches that are broken off or told that their version is gone.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import aiohttp
import yaml
from aiohttp import web

from support.controlplane import ControlPlane

REFUSALS = {409: "Conflict", 410: "Expired", 429: "TooManyRequests", 500: "InternalError"}
_VERBS = {"POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}
_HOP = frozenset({"connection", "transfer-encoding", "content-length", "content-encoding", "host", "keep-alive"})


@dataclass(frozen=True)
class Request:
    """One request in the words of RBAC, and what the API server really said; 0: it never got there."""

    verb: str
    group: str
    resource: str
    name: str
    status: int

    @property
    def of_no_kind(self) -> bool:
        """Whether the API server does not know the kind."""
        return self.status == 404 and not self.name


@dataclass
class Proxy:
    """`chance` of a fault for each request; whether watches get no answer at all (`mute`), or begin at a version that
    the API server has long forgotten (`stale`); for how many seconds each request is put off (`pause`). All may be
    changed while it runs."""

    seed: int
    chance: float = 0.0
    mute: bool = False
    stale: bool = False
    pause: int = 0
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    expired: int = 0
    """How often the API server itself has said that a watch's version is gone."""
    put_off: list[float] = field(default_factory=list)
    """When a request was put off, by `time.monotonic`."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def writes(self) -> list[Request]:
        """Requests that changed something, apart from Events and the lease."""
        changing = {"create", "patch", "delete"}
        return [
            each
            for each in self.requests
            if each.verb in changing and each.status in (200, 201) and each.resource not in ("events", "leases")
        ]

    def rights(self) -> set[tuple[str, str, str]]:
        """(group, resource, verb) of everything that was allowed; an apply that creates needs both verbs.

        An object that is not there was asked for with every right; a kind that is not there needs none.
        """
        known = [each for each in self.requests if each.status not in (401, 403) and not each.of_no_kind]
        used = {(each.group, each.resource, each.verb) for each in known}
        created = {(each.group, each.resource, "create") for each in self.requests if each.status == 201}
        return used | created

    def draw(self) -> str | int | None:
        """The fault of the next request: a status, `lost`, `cut` or none."""
        if self._random.random() >= self.chance:
            return None
        faults: list[str | int] = [*REFUSALS, "lost", "cut"]
        return self._random.choice(faults)

    def kubeconfig(self, original: Path, path: Path) -> Path:
        """`original` with this address."""
        loaded = yaml.safe_load(original.read_text())
        loaded["clusters"][0]["cluster"] = {"server": self.url}
        path.write_text(yaml.safe_dump(loaded))
        return path


@contextmanager
def proxying(plane: ControlPlane, seed: int) -> Iterator[Proxy]:
    """A proxy in a thread of its own while the context lasts."""
    proxy = Proxy(seed)
    started = threading.Event()
    box: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def main() -> None:
        stop = asyncio.Event()
        box.append((asyncio.get_running_loop(), stop))
        await _serve(plane, proxy, started, stop)

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="proxy")
    thread.start()
    try:
        assert started.wait(30), "the proxy did not start"
        yield proxy
    finally:
        loop, stop = box[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join()


async def _serve(plane: ControlPlane, proxy: Proxy, started: threading.Event, stop: asyncio.Event) -> None:
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(plane.ca_file)), limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(plane.url, connector=connector, timeout=timeout, auto_decompress=False) as http:
        app = web.Application(client_max_size=1 << 25)
        app.router.add_route("*", "/{path:.*}", partial(_handle, http=http, proxy=proxy))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            proxy.url = "http://{}:{}".format(*runner.addresses[0][:2])
            started.set()
            await stop.wait()
        finally:
            await runner.cleanup()


async def _handle(request: web.Request, http: aiohttp.ClientSession, proxy: Proxy) -> web.StreamResponse:
    fault, watch = proxy.draw(), request.query.get("watch") == "true"
    if proxy.pause:
        proxy.put_off.append(time.monotonic())
        return _refusal(429, proxy.pause)
    if isinstance(fault, int):
        return _refusal(fault)
    while watch and proxy.mute:  # noqa: ASYNC110  another thread sets it
        await asyncio.sleep(0.05)
    url = request.rel_url.update_query(resourceVersion="1") if watch and proxy.stale else request.rel_url
    body = await request.read()
    headers = {key: value for key, value in request.headers.items() if key.lower() not in _HOP}
    try:
        async with http.request(request.method, url, data=body or None, headers=headers) as answer:
            proxy.requests.append(_request(request, watch, body, answer.status))
            if fault == "lost" and not watch:
                return _refusal(500)
            return await _relay(request, answer, fault if watch else None, proxy)
    except (aiohttp.ClientError, OSError):
        return _refusal(500)  # the API server is down


async def _relay(
    request: web.Request, answer: aiohttp.ClientResponse, fault: str | None, proxy: Proxy
) -> web.StreamResponse:
    kept = {key: value for key, value in answer.headers.items() if key.lower() not in _HOP}
    response = web.StreamResponse(status=answer.status, headers=kept)
    await response.prepare(request)
    lines = 0
    async for line in answer.content if fault else answer.content.iter_any():
        proxy.expired += proxy.stale and b'"reason":"Expired"' in line
        proxy.expired += proxy.stale and b'"reason":"Expired"' in line
        await response.write(line)
        lines += 1
        if fault and lines >= 3 and proxy.chance:
            if fault == "lost":
                error = {"type": "ERROR", "object": _status(410)}
                await response.write(json.dumps(error).encode() + b"\n")
            break
    await response.write_eof()
    return response


def _refusal(status: int, pause: int = 1) -> web.Response:
    headers = {"Retry-After": str(pause)} if status == 429 else {}
    return web.json_response(_status(status), status=status, headers=headers)


def _status(status: int) -> dict[str, object]:
    reason = REFUSALS[status]
    head = {"kind": "Status", "apiVersion": "v1", "status": "Failure"}
    return head | {"reason": reason, "code": status, "message": f"injected: {reason}"}


def _request(request: web.Request, watch: bool, body: bytes, status: int) -> Request:
    """`/apis/GROUP/VERSION[/namespaces/NS]/RESOURCE[/NAME[/SUBRESOURCE]]` as RBAC sees it."""
    parts = request.path.strip("/").split("/")
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1] if len(parts) > 1 else "", parts[3:])
    rest = rest[2:] if rest[:1] == ["namespaces"] and len(rest) > 2 else rest
    resource, name, *below = [*rest, "", ""][: max(2, len(rest))]
    reading = "watch" if watch else ("get" if name else "list")
    verb = _VERBS.get(request.method, reading) if resource else "discover"
    if verb == "create":
        name = str(json.loads(body)["metadata"].get("name", ""))
    return Request(verb, group, "/".join([resource, *(each for each in below if each)]), name, status)
