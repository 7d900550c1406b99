"""One reconcile of one cascade: read -> plan -> apply -> one status. The whole of it, top to bottom."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from disrouter.api import CascadeStatus
from disrouter_operator.errors import InternalError, KubeError, NamespaceTerminating
from disrouter_operator.kube.client import Kube
from disrouter_operator.kube.observed import Observed
from disrouter_operator.kube.resources import Key, Object
from disrouter_operator.manifests import claims
from disrouter_operator.plan.cascade_plan import Plan, make_plan
from disrouter_operator.reconcile.apply import carry_out
from disrouter_operator.reconcile.claim_modes import ClaimModes
from disrouter_operator.reconcile.first_seen import FirstSeen
from disrouter_operator.reconcile.listed_kinds import ListedKinds
from disrouter_operator.reconcile.observe import observe
from disrouter_operator.reconcile.probe_runner import ProbeRunner
from disrouter_operator.reconcile.referred_services import ReferredServices
from disrouter_operator.reconcile.write_guard import WriteGuard
from disrouter_operator.settings import Settings
from disrouter_operator.status import cascade_status, events
from disrouter_operator.status.recorder import Recorder

Clock = Callable[[], datetime]
"""Now, with a time zone."""

GONE = 404
MAX_ERROR = 500
"""Characters of an unforeseen error in the status."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Requeue:
    """Nothing will wake the cascade at the time it needs; look again after so many seconds."""

    after: float


@dataclass(frozen=True)
class Memory:
    """What reconciles remember of each other, in memory alone."""

    guard: WriteGuard = field(default_factory=WriteGuard)
    recorder: Recorder = field(default_factory=Recorder)
    probes: ProbeRunner[Key] = field(default_factory=ProbeRunner)
    serving: FirstSeen = field(default_factory=FirstSeen)
    waking: FirstSeen = field(default_factory=FirstSeen)
    listed: ListedKinds = field(default_factory=ListedKinds)
    services: ReferredServices = field(default_factory=ReferredServices)
    claim_modes: ClaimModes = field(default_factory=ClaimModes)

    def recall(self, key: Key, observed: Observed) -> Observed:
        """The same with what earlier reconciles have seen of its agents."""
        seen_serving, seen_waking = self.serving.of(key), self.waking.of(key)
        return replace(observed, answers=self.probes.answers(key), seen_serving=seen_serving, seen_waking=seen_waking)

    def forget(self, key: Key) -> None:
        """The cascade is gone."""
        self.probes.forget(key)
        self.serving.forget(key)
        self.waking.forget(key)
        self.listed.forget(key)
        self.services.forget(key)


async def reconcile(
    kube: Kube,
    key: Key,
    settings: Settings,
    clock: Clock,
    memory: Memory | None = None,
) -> Requeue | None:
    """Bring the cluster one step closer to the cascade `key`; idempotent.

    `memory` is the caller's between reconciles; without one, nothing is held back. Raises KubeError or InternalError:
    call again later.
    """
    memory = memory or Memory()
    observed = await observe(kube, key, memory.listed)
    if observed is None:
        memory.forget(key)
        return None
    memory.services.note(key, observed)
    now, before = clock(), cascade_status.read(observed.parent)
    named = claims.named(observed.parent.get("spec"))
    claim_modes = await memory.claim_modes.of(kube, key.namespace, named, now)
    observed = replace(memory.recall(key, observed), claim_modes=claim_modes)
    plan, failure = _plan(observed, before, settings, now)
    memory.serving.note(key, plan.serving, now)
    memory.waking.note(key, plan.waking, now)
    if settings.smoke is not None:
        memory.probes.ask(key, plan.probes, settings.smoke)
    try:
        outcome = await carry_out(kube, plan, observed, memory.guard, now)
    except NamespaceTerminating:
        logger.debug("%s: its namespace is being deleted, so nothing is made any more", key)
        return None
    generation = observed.parent["metadata"].get("generation", 0)
    after = cascade_status.build(plan.findings, outcome.problems, before, generation, now)
    await _write_status(kube, observed.parent, after)
    # Only now: a status that could not be written is derived again, and so are its events.
    await memory.recorder.record(kube, observed.parent, [*outcome.repaired, *events.transitions(before, after)], now)
    if failure is not None:
        if after != before:  # the retries say the same
            logger.error("planning %s failed", key, exc_info=failure)
        raise InternalError(_words(failure)) from failure
    waits = [*outcome.waits, *([plan.requeue_after] if plan.requeue_after is not None else [])]
    return Requeue(min(waits)) if waits else None


def _plan(
    observed: Observed, before: CascadeStatus, settings: Settings, now: datetime
) -> tuple[Plan, Exception | None]:
    """The plan; on what nobody foresaw one that changes nothing and says so where the cascade's owner looks."""
    try:
        return make_plan(observed, before, settings, now), None
    except Exception as error:
        return Plan(cascade_status.InternalFailure(_words(error))), error


def _words(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:MAX_ERROR]


async def _write_status(kube: Kube, parent: Object, after: CascadeStatus) -> None:
    """The one status write, if there is anything to say, and anybody to say it of."""
    dumped = after.dump()
    if dumped == (parent.get("status") or {}):
        return
    try:
        await kube.patch_status({**parent, "status": dumped})
    except KubeError as error:
        if error.status != GONE:
            raise
