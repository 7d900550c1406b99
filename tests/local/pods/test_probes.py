"""Probes decide as the kubelet's do; the answers are given, and a test ends when they are used up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from itertools import repeat

import pytest

from disrouter_local.pods.probes import Probe, Prober, Probes, ask
from support.local import until

PROBE = Probe(port=1, path="/", period=0.02, failures=2)
PATIENT = replace(PROBE, failures=10_000)
LONGEST = 60.0
"""Seconds until a test gives up, on a machine however busy."""


class Answers:
    """Attempts with these results, and then none."""

    def __init__(self, results: Iterable[bool]) -> None:
        self._left = iter(results)
        self.used_up = asyncio.Event()

    async def __call__(self, _: Probe) -> bool:
        for result in self._left:
            return result
        self.used_up.set()
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")


async def told(probes: Probes, results: Iterable[bool]) -> tuple[list[bool], str | None]:
    """What a prober says of readiness, and why it asks for a restart, by the time that all results are used up."""
    ready: list[bool] = []
    answers = Answers(results)
    running = asyncio.create_task(Prober(probes, ready.append, answers).run())
    over = asyncio.create_task(answers.used_up.wait())
    done, pending = await asyncio.wait([running, over], timeout=LONGEST, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    assert done, "neither restarted nor asked as often as there are results"
    return ready, running.result() if running in done else None


async def test_a_container_without_probes_is_ready_and_never_restarted() -> None:
    ready, answers = list[bool](), Answers([])
    running = asyncio.create_task(Prober(Probes(), ready.append, answers).run())
    await until(lambda: ready)
    await asyncio.sleep(0.1)
    assert (ready, running.done(), answers.used_up.is_set()) == ([True], False, False)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_readiness_needs_one_success_and_is_lost_after_several_failures() -> None:
    flapping = (False, True, False, True, False, False, False, True)
    assert await told(Probes(readiness=PROBE), flapping) == ([True, False, True], None)


async def test_a_startup_probe_holds_the_others_back() -> None:
    probes = Probes(startup=PATIENT, readiness=PROBE)
    assert await told(probes, (False, False, True)) == ([], None), "the third answer is startup's"
    assert await told(probes, (False, False, True, True)) == ([True], None)


async def test_a_container_that_does_not_start_in_time_is_restarted() -> None:
    ready, reason = await told(Probes(startup=PROBE), repeat(False))
    assert ready == []
    assert reason == "startup probe failed for 0 s"


async def test_liveness_forgives_single_failures_only() -> None:
    assert await told(Probes(liveness=PROBE), (True, False, True, False, True)) == ([True], None)
    assert await told(Probes(liveness=PROBE), (True, False, False)) == ([True], "liveness probe failed")


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
