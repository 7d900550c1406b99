"""Cascades that never get well keep nobody waiting: proved by order and counts, not by the clock."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

from disrouter.backoff import Backoff
from disrouter_operator.errors import KubeError, Rejected
from disrouter_operator.kube.resources import CASCADES, INFERENCE_SERVICES, SERVICES, Key, Object, Resource
from disrouter_operator.reconcile.probe_runner import ProbeRunner
from disrouter_operator.reconcile.reconciler import Memory, reconcile
from disrouter_operator.smoke_probe import SmokeProbe
from disrouter_operator.watch.work_queue import KeyedQueue
from support import clusters
from support.kube_fake import KubeFake
from support.kubectl import PATIENCE
from support.scenes import SETTINGS, come_up

HEALTHY = [f"healthy{number}" for number in range(20)]
SICK = {"refused": "a child is refused for ever", "broken": "its reads fail", "invalid": "it breaks a rule"}
ROUNDS = 4
"""Attempts at a sick cascade that the healthy ones must not wait for."""


class _Sick(KubeFake):
    """Refuses one cascade's children, and cannot read another one."""

    def __init__(self) -> None:
        super().__init__()
        self.refuse = lambda obj: (
            Rejected("denied", 403)
            if obj["metadata"].get("labels", {}).get("disrouter.io/cascade") == "refused"
            else None
        )

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        if resource == CASCADES and name == "broken":
            raise KubeError("500: it always does", 500)
        return await super().get(resource, namespace, name)


def _cascades() -> KubeFake:
    kube = _Sick()
    for name in [*SICK, *HEALTHY]:
        manifest = _named(name)
        if name == "invalid":
            manifest["spec"]["agents"].reverse()
        kube.put(manifest)
    return kube


async def test_healthy_cascades_converge_while_sick_ones_are_still_in_backoff() -> None:
    kube, memory, reconciles = _cascades(), Memory(), Counter[str]()
    done = asyncio.Event()

    async def one_pass(key: Key) -> float | None:
        reconciles[key.name] += 1
        again = await reconcile(kube, key, SETTINGS, lambda: datetime.now(UTC), memory)
        if set(HEALTHY) <= set(kube.names(SERVICES)):
            done.set()
        return again.after if again is not None else None

    queue: KeyedQueue[Key] = KeyedQueue(one_pass, backoff=Backoff(first=3600.0))
    for name in [*SICK, *HEALTHY]:  # the sick ones first in line
        queue.add(Key("default", name))
    async with _two_workers(queue, done):
        assert all(reconciles[name] == 1 for name in SICK), "one attempt each, and then they wait by themselves"
        assert queue.failing() == 1
        assert {name: reconciles[name] for name in HEALTHY} == dict.fromkeys(HEALTHY, 1)


async def test_attempts_at_what_is_refused_get_rarer_and_its_status_is_written_once() -> None:
    kube, memory = _cascades(), Memory()
    waits = []
    for _ in range(ROUNDS):
        again = await reconcile(kube, Key("default", "refused"), SETTINGS, lambda: datetime.now(UTC), memory)
        assert again is not None
        waits.append(again.after)
    assert waits == [10.0, 20.0, 40.0, 80.0]
    statuses = [write for write in kube.writes if write[0] == "status"]
    assert len(statuses) == 1
    assert len([write for write in kube.writes if write[1] == "Event"]) <= 4


async def test_healthy_cascades_converge_while_surges_wait_for_pods_that_never_answer() -> None:
    """More surges than workers, and not one answer: every healthy cascade is through in one reconcile each."""
    kube, reconciles, asked = KubeFake(), Counter[str](), Counter[str]()
    silent = [f"silent{number}" for number in range(6)]
    done = asyncio.Event()

    async def never(probe: SmokeProbe) -> str | None:
        asked[probe.workload] += 1
        await asyncio.Event().wait()
        return None

    async def one_pass(key: Key) -> float | None:
        reconciles[key.name] += 1
        again = await reconcile(kube, key, replace(SETTINGS, smoke=never), lambda: datetime.now(UTC), memory)
        if set(HEALTHY) <= set(kube.names(SERVICES)):
            done.set()
        return again.after if again is not None else None

    queue: KeyedQueue[Key] = KeyedQueue(one_pass)
    memory = Memory(probes=ProbeRunner(queue.add))
    for name in silent:
        await _surge(kube, name)
    for name in HEALTHY:
        kube.put(_named(name))
    for name in [*silent, *HEALTHY]:  # the silent ones first in line
        queue.add(Key("default", name))
    async with _two_workers(queue, done):
        assert sorted(asked.values()) == [1] * len(silent), "every surge did ask, and none has its answer"
        assert {name: reconciles[name] for name in HEALTHY} == dict.fromkeys(HEALTHY, 1)
    await memory.probes.close()


@asynccontextmanager
async def _two_workers(queue: KeyedQueue[Key], done: asyncio.Event) -> AsyncIterator[None]:
    """Have the queue worked on; begins once `done`."""
    running = asyncio.create_task(queue.run(workers=2))
    try:
        async with asyncio.timeout(PATIENCE):
            await done.wait()
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def _named(name: str, **spec: object) -> Object:
    manifest = clusters.example(**spec)
    manifest["metadata"]["name"] = name
    return manifest


async def _surge(kube: KubeFake, name: str) -> None:
    """A cascade whose agent small was changed, with the new pods up and not asked yet."""
    key, settings = Key("default", name), replace(SETTINGS, smoke=None)
    kube.put(_named(name, rollout="surge"))
    await reconcile(kube, key, settings, lambda: datetime.now(UTC))
    before = set(kube.names(INFERENCE_SERVICES))
    manifest = kube.one(CASCADES, name)
    manifest["spec"]["agents"][0]["engine"] = {"args": ["--max-model-len=4096"]}
    kube.put(manifest)
    await reconcile(kube, key, settings, lambda: datetime.now(UTC))
    (new,) = set(kube.names(INFERENCE_SERVICES)) - before
    come_up(kube, new, datetime.now(UTC))
