"""A random walk: edit and break a cascade on a cluster while clients ask, and say which invariant did not hold.

    python -m chaos --kubeconfig FILE [--seed N] [--minutes 20] [--tool PROGRAM] [--train]

The cluster is disposable: the charts are installed anew and taken away. Exit codes: 0 all held, 1 something did not.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos import clock, edits
from chaos.faults import Ground, faults
from chaos.invariants import orphans, shown_refusals, unexplained, unsettled
from chaos.traffic import Clients
from chaos.walk import Step, walk
from disrouter import names
from support.cluster import Cluster, installed
from support.team import STARTS, Team, team
from support.tiny_training import fill_claims

NAME = "pool"
SETTLES_SECONDS = 60.0
"""Within which everything must be as the manifest says, once nobody touches it."""
TRAINED = 900.0
"""Seconds for the first run of a trained agent."""
CHILDREN = "inferenceservices,deployments,services,horizontalpodautoscalers,pods"


@dataclass
class RandomWalk:
    """One walk over one cascade."""

    ground: Ground
    seed: int
    clients: Clients
    spec: edits.Spec
    violations: list[str] = field(default_factory=list)
    _judged: int = 0
    """Requests that were looked at."""

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)
        self.edits = edits.edits(train="training" in self.spec)
        self.faults = faults(parts=self.ground.tool is not None, local=True, clocks=self.ground.clocks)

    async def run(self, seconds: float) -> None:
        """Take steps for so long, and settle at the end."""
        deadline = time.monotonic() + seconds
        for step in walk(self.seed, sorted(self.edits), sorted(self.faults)):
            if time.monotonic() > deadline:
                break
            await self._take(step)
        await self._settle()

    async def _take(self, step: Step) -> None:
        if step.kind == "quiet":
            await self._settle()
            return
        try:
            said = await asyncio.to_thread(self._edit if step.kind == "edit" else self._break, step.name)
        except (AssertionError, subprocess.SubprocessError) as error:
            said = f"was refused: {error}"[:300]
            if step.kind == "edit":
                self._violated(f"the edit {step.name} {said}")
        self._say(f"{step.kind} {step.name}: {said}")
        await asyncio.sleep(step.pause)

    def _edit(self, name: str) -> str:
        self.edits[name](self.spec, self.draw)
        self.ground.team.apply(edits.manifest(NAME, self.spec))
        return ", ".join(agent["name"] for agent in self.spec["agents"])

    def _break(self, name: str) -> str:
        return self.faults[name](self.ground, self.draw)

    async def _settle(self) -> None:
        """Leave everything alone until it is as it should be, and judge what has been."""
        began, why = time.monotonic(), "never looked"
        while (problem := await asyncio.to_thread(self._problem)) is not None:
            why = problem
            if time.monotonic() - began > SETTLES_SECONDS:
                self._violated(f"after {SETTLES_SECONDS:.0f} s of quiet: {why}")
                break
            await asyncio.sleep(1)
        new = self.clients.ledger[self._judged :]
        self._judged += len(new)
        for each in unexplained(new, self.ground.kills):
            self._violated(f"{_at(each.began)} a request failed by way of [{each.path}]: {each.failure}")
        for each in shown_refusals(new):
            self._violated(f"{_at(each.began)} no answer by way of [{each.path}]: {each.text!r}")
        self._say(f"quiet: {len(new)} requests, settled in {time.monotonic() - began:.0f} s")

    def _problem(self) -> str | None:
        """Why the cluster is not as the manifest says."""
        try:
            found: Any = self.ground.team.get(names.PLURAL, NAME)
            left = orphans(found, self.ground.team.get(CHILDREN, f"--selector={names.LABEL_CASCADE}={NAME}")["items"])
        except AssertionError as error:
            return str(error)
        return unsettled(found) or (f"left behind: {', '.join(left)}" if left else None)

    def _violated(self, what: str) -> None:
        self.violations.append(what)
        print(f"VIOLATED (seed {self.seed}) {what}", flush=True)

    def _say(self, what: str) -> None:
        print(f"{_at(time.time())} {what}", flush=True)

    def summary(self) -> str:
        """One line."""
        ledger = self.clients.ledger
        failed = sum(bool(each.failure) for each in ledger)
        return (
            f"seed {self.seed}: {len(ledger)} requests, {failed} failed, of these explained by "
            f"{len(self.ground.kills)} kills of what serves: {failed - len(unexplained(ledger, self.ground.kills))}; "
            f"{len(self.violations)} violations"
        )


def _at(moment: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(moment))


async def _walk(made: Team, options: argparse.Namespace) -> RandomWalk:
    first = edits.first(train=options.train)
    made.apply(edits.manifest(NAME, first))
    await asyncio.to_thread(made.until, "Ready", lambda: made.all_ready(NAME), TRAINED if options.train else STARTS)
    address = made.get("service", NAME)["spec"]["clusterIP"]
    ground = Ground(made, NAME, options.tool, clocks=options.clocks)
    walked = RandomWalk(ground, options.seed, Clients(f"http://{address}/v1", NAME), first)
    async with walked.clients.asking():
        await walked.run(options.minutes * 60)
    return walked


def main() -> int:
    """See above."""
    parser = argparse.ArgumentParser(prog="chaos", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kubeconfig", required=True, help="of a cluster that may be broken")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="default: a new one")
    parser.add_argument("--minutes", type=float, default=20.0, help="default %(default)g")
    parser.add_argument("--tool", help="a program that takes `kill PART` and `start PART` of the cluster's parts")
    parser.add_argument("--train", action="store_true", help="the first agent is trained, and again now and then")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    cluster = Cluster.of(options.kubeconfig)
    faketime = clock.library()
    options.clocks = faketime is not None
    with installed(cluster), team(cluster, "chaos") as made:
        if faketime is not None:
            clock.give(cluster, faketime)
        if options.train:
            fill_claims(made, Path(tempfile.mkdtemp(prefix="chaos-")))
        walked = asyncio.run(_walk(made, options))
    print(walked.summary())
    return 1 if walked.violations else 0


if __name__ == "__main__":
    sys.exit(main())
