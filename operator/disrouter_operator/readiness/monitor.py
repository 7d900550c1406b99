"""Judges this replica once per second and reports what changes: in the log, in metrics, in Events of its own pod."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from disrouter_operator.errors import KubeError
from disrouter_operator.kube.client import Kube
from disrouter_operator.kube.resources import PODS, Object
from disrouter_operator.readiness.assessment import Facts, Role, State, step
from disrouter_operator.status import events
from disrouter_operator.status.events import Note, Series
from disrouter_operator.telemetry.metrics import Metrics

TICK_SECONDS = 1.0
DEAD_SECONDS = 60.0
"""Watches that stay dead for so long, although the API server answers and refuses nothing, need a new process."""
TOLD_SECONDS = 10.0
"""Time to write an Event before it is given up."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pod:
    """The operator's own pod, of which Events tell."""

    namespace: str
    name: str
    uid: str = ""

    def event(self, note: Note, now: datetime) -> Object:
        """The Event object of a note."""
        text = "\n".join([self.name, note.reason, note.message, now.isoformat()])
        series = Series(f"{self.name}.{hashlib.sha256(text.encode()).hexdigest()[:16]}", now, now, 1)
        metadata = {"namespace": self.namespace, "name": self.name, "uid": self.uid}
        involved = {"apiVersion": PODS.api_version, "kind": PODS.kind, **{k: v for k, v in metadata.items() if v}}
        return {**events.manifest({"metadata": metadata}, note, series), "involvedObject": involved}


@dataclass
class ReadinessMonitor:
    """`facts` are asked anew with every tick. `kube` writes Events of `pod` whether this replica leads or not."""

    facts: Callable[[], Facts]
    metrics: Metrics
    lag: Callable[[], float] = lambda: 0.0
    """Seconds for which a watch owes what a reconcile has read."""
    kube: Kube | None = None
    pod: Pod | None = None
    monotonic: Callable[[], float] = time.monotonic
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    state: State = field(default_factory=State, init=False)
    _dead_since: float | None = field(default=None, init=False)

    async def run(self) -> None:
        """Look and tell until cancelled."""
        while True:
            await self._report(self.look())
            await self.sleep(TICK_SECONDS)

    def look(self) -> Sequence[Note]:
        """Judge anew; returns what changed, which is logged already."""
        facts, now = self.facts(), self.monotonic()
        self.state, notes = step(self.state, facts, now)
        self._note_death(facts, now)
        for note in notes:
            logger.log(logging.INFO if note.type == "Normal" else logging.WARNING, note.message)
        problems = {(each.reason.value, kind) for each in self.state.problems for kind in each.kinds or ("",)}
        self.metrics.set_readiness(ready=self.state.ready, problems=problems)
        return notes

    def unready(self) -> str | None:
        """Why this replica cannot work, None if it can."""
        return self.state.trouble

    def dead(self) -> str | None:
        """Watches that only a new process can cure."""
        since = self._dead_since
        if since is None or self.monotonic() - since < DEAD_SECONDS:
            return None
        words = "; ".join(each.message for each in self.state.problems if each.blocks) or "a watch is silent"
        return f"for {self.monotonic() - since:.0f} s, although the API server answers: {words}"

    def _note_death(self, facts: Facts, now: float) -> None:
        could = facts.role is Role.LEADER and facts.findings is not None and facts.findings.usable
        lag = self.lag()
        if not could or facts.refused or (not facts.closed and lag < TICK_SECONDS):
            self._dead_since = None
        elif self._dead_since is None:
            self._dead_since = now

    async def _report(self, notes: Sequence[Note]) -> None:
        """An Event that cannot be written is in the log already; often it is the same right that is missing."""
        if self.kube is None or self.pod is None:
            return
        for note in notes:
            try:
                async with asyncio.timeout(TOLD_SECONDS):
                    await self.kube.create(self.pod.event(note, self.clock()))
            except (KubeError, TimeoutError) as error:
                logger.debug("event %s is lost: %s", note.reason, error)
