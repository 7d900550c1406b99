"""One size: what the operator and the rival take for the same children, then the operator at rest, then poison."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from bench.operator_scale import processes
from bench.operator_scale.cascades import cascade, foreign_child, invalid
from bench.operator_scale.world import World, world

QPS = 10000.0
"""No limit of its own: the limit would be all that is measured."""
EDITS = 5
SEED = 1


@dataclass(frozen=True)
class Creation:
    """From the first look at the cascades to the last child."""

    seconds: float
    cpu: float
    memory: float


@dataclass(frozen=True)
class Result:
    """Of one size. `requests` and `reconciles` are a cascade's, until everything is at rest."""

    cascades: int
    operator: Creation
    loop: Creation
    requests: float
    reconciles: float
    edit: float
    rest_seconds: float
    rest_writes: float
    rest_passes: float
    rest_cpu: float
    memory: float


@dataclass(frozen=True)
class Poison:
    """Seconds to all children of the same healthy cascades, alone and among as many that never get well."""

    cascades: int
    alone: float
    among: float


async def size(cascades: int, folder: Path, rest_seconds: float) -> Result:
    """Measure on a control plane of its own. The rival goes first: what it leaves is a burden to the operator."""
    async with world(folder) as cluster:
        names = [f"c{number}" for number in range(cascades)]
        for namespace in ("rival", "ours"):
            await cluster.namespace(namespace)
            await cluster.create(cascade(namespace, name) for name in names)
        async with processes.watch_loop(cluster.operator_kubeconfig, "rival", folder / "loop.log") as loop:
            rival = await _creation(cluster, loop, "rival", cascades)
        log = folder / "operator.log"
        async with processes.operator(cluster.operator_kubeconfig, "ours", log, QPS) as operator:
            ours = await _creation(cluster, operator, "ours", cascades)
            await operator.at_rest()
            requests, reconciles = await operator.requests() / cascades, await operator.reconciles() / cascades
            edit = await _edits(cluster, operator, names)
            await operator.at_rest()
            before = await _rest(operator)
            await asyncio.sleep(rest_seconds)
            after = await _rest(operator)
            writes, looks, cpu = (late - early for early, late in zip(before, after, strict=True))
            memory = operator.usage().memory
    return Result(cascades, ours, rival, requests, reconciles, edit, rest_seconds, writes, looks, cpu, memory)


async def poison(cascades: int, folder: Path) -> Poison:
    """Healthy cascades alone, and again among as many that are invalid or whose child is refused for ever."""
    async with world(folder) as cluster:
        seconds = []
        for namespace, sick in (("alone", 0), ("among", cascades)):
            await cluster.namespace(namespace)
            halves = [f"sick{number}" for number in range(sick)]
            refused, broken = halves[::2], halves[1::2]
            await cluster.create(foreign_child(namespace, name) for name in refused)
            await cluster.create(cascade(namespace, name) for name in refused)
            await cluster.create(invalid(namespace, name) for name in broken)
            await cluster.create(cascade(namespace, f"c{number}") for number in range(cascades))
            log = folder / f"{namespace}.log"
            async with processes.operator(cluster.operator_kubeconfig, namespace, log, QPS):
                started = time.perf_counter()
                await cluster.children_of(namespace, [f"c{number}" for number in range(cascades)])
                seconds.append(time.perf_counter() - started)
    return Poison(cascades, *seconds)


async def _creation(cluster: World, process: processes.Process, namespace: str, cascades: int) -> Creation:
    started, before = time.perf_counter(), process.usage()
    await cluster.all_children(namespace, cascades, process.check)
    seconds, after = time.perf_counter() - started, process.usage()
    return Creation(seconds, after.cpu - before.cpu, after.memory)


async def _edits(cluster: World, operator: processes.Operator, names: list[str]) -> float:
    """Median seconds of edits of single cascades, each with everything else at rest."""
    chosen = random.Random(SEED)
    found = []
    for number in range(EDITS):
        found.append(await cluster.edit("ours", chosen.choice(names), (number + 1) / 100))
        await operator.at_rest()
    return statistics.median(found)


async def _rest(operator: processes.Operator) -> tuple[float, float, float]:
    return await operator.requests(processes.WRITES), await operator.reconciles(), operator.usage().cpu
