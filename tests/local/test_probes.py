"""Probes decide as the kubelet's do; the attempts are given, the time is real and short."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from disrouter_local.probes import Probe, Prober, Probes, ask

PROBE = Probe(port=1, path="/", period=0.02, failures=2)
Attempt = Callable[[Probe], Awaitable[bool]]


def answers(*results: bool) -> Attempt:
    """Attempts with these results; the last one repeats."""
    left = list(results)

    async def attempt(_: Probe) -> bool:
        return left.pop(0) if len(left) > 1 else left[0]

    return attempt


async def told(probes: Probes, attempt: Attempt, seconds: float = 0.3) -> tuple[list[bool], str | None]:
    """What a prober says of readiness, and why it asks for a restart, within some seconds."""
    ready: list[bool] = []
    try:
        reason = await asyncio.wait_for(Prober(probes, ready.append, attempt).run(), seconds)
    except TimeoutError:
        return ready, None
    return ready, reason


async def test_a_container_without_probes_is_ready_and_never_restarted() -> None:
    assert await told(Probes(), answers(False)) == ([True], None)


async def test_readiness_needs_one_success_and_is_lost_after_several_failures() -> None:
    flapping = answers(False, True, False, True, False, False, False, True)
    assert await told(Probes(readiness=PROBE), flapping) == ([True, False, True], None)


async def test_a_startup_probe_holds_the_others_back() -> None:
    assert await told(Probes(startup=PROBE, readiness=PROBE), answers(False, False, True)) == ([True], None)


async def test_a_container_that_does_not_start_in_time_is_restarted() -> None:
    ready, reason = await told(Probes(startup=PROBE), answers(False))
    assert ready == []
    assert reason == "startup probe failed for 0 s"


async def test_liveness_forgives_single_failures_only() -> None:
    assert await told(Probes(liveness=PROBE), answers(True, False, True, False, True)) == ([True], None)
    assert await told(Probes(liveness=PROBE), answers(True, False, False)) == ([True], "liveness probe failed")


@pytest.mark.parametrize(
    ("reply", "healthy"),
    [(b"HTTP/1.1 200 OK\r\n\r\n", True), (b"HTTP/1.1 503 No\r\n\r\n", False), (b"", False), (b"garbage\r\n", False)],
)
async def test_an_http_probe_wants_a_status_of_success(reply: bytes, healthy: bool) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.readline()).startswith(b"GET /healthz HTTP/1.1")
        writer.write(reply)
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await ask(Probe(port, "/healthz")) is healthy
        assert await ask(Probe(port, None))
    assert not await ask(Probe(port, None))


def test_probes_are_read_as_pods_write_them() -> None:
    spec = {"httpGet": {"path": "/x", "port": "web"}, "periodSeconds": 3, "timeoutSeconds": 2, "failureThreshold": 5}
    assert Probe.of(spec, lambda port: {"web": 80}[str(port)]) == Probe(80, "/x", period=3, timeout=2, failures=5)
    assert Probe.of({"tcpSocket": {"port": 81}}, int) == Probe(81, None)
    assert Probe.of({"exec": {"command": ["true"]}}, int) is None
