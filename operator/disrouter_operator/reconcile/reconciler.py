"""One pass over one cascade: read, plan, execute, one status write."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from disrouter.api import CascadeStatus
from disrouter_operator.errors import InternalError
from disrouter_operator.kube.client import Kube
from disrouter_operator.kube.observed import Observed
from disrouter_operator.kube.resources import Key, Object
from disrouter_operator.plan.cascade_plan import Plan, make_plan
from disrouter_operator.reconcile import orphans
from disrouter_operator.reconcile.apply import apply_all
from disrouter_operator.reconcile.observe import observe
from disrouter_operator.reconcile.probe_runner import Inquiries
from disrouter_operator.reconcile.write_guard import Convergence
from disrouter_operator.settings import Settings
from disrouter_operator.smoke_probe import Answers
from disrouter_operator.status import cascade_status, events, kstatus
from disrouter_operator.status.recorder import Recorder

Clock = Callable[[], datetime]
"""Now, with a time zone."""

MAX_ERROR = 500
"""Characters of an unforeseen error in the status."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Requeue:
    """Nothing will wake the cascade at the time it needs; look again after so many seconds."""

    after: float


@dataclass(frozen=True)
class Memory:
    """What passes remember of each other, in memory alone."""

    convergence: Convergence = field(default_factory=Convergence)
    recorder: Recorder = field(default_factory=Recorder)
    inquiries: Inquiries[Key] = field(default_factory=Inquiries)


async def reconcile(
    kube: Kube,
    key: Key,
    settings: Settings,
    clock: Clock,
    memory: Memory | None = None,
) -> Requeue | None:
    """Bring the cluster one step closer to the cascade `key`; idempotent.

    `memory` is the caller's between passes; without one, nothing is held back. Raises KubeError or InternalError: call
    again later.
    """
    memory = memory or Memory()
    observed = await observe(kube, key.namespace, key.name)
    if observed is None:
        memory.inquiries.forget(key)
        return None
    observed = await orphans.clear(kube, observed)
    now = clock()
    plan = await _decide(kube, observed, settings, memory, now)
    outcome = await apply_all(kube, plan.applies, observed, memory.convergence, now)
    if outcome.traffic_moved:
        await _delete(kube, plan, key)
    before = cascade_status.read(observed.parent)
    after = cascade_status.with_writes(plan.status, outcome.refused, outcome.unkept, before, now)
    after = kstatus.complete(after, before, now)
    await _write_status(kube, observed.parent, after)
    await memory.recorder.record(kube, observed.parent, [*outcome.repaired, *events.transitions(before, after)], now)
    waits = [*outcome.waits, *([plan.requeue_after] if plan.requeue_after is not None else [])]
    return Requeue(min(waits)) if waits else None


async def _decide(kube: Kube, observed: Observed, settings: Settings, memory: Memory, now: datetime) -> Plan:
    """Plan, with the answers that are there by now.

    Raises InternalError on what nobody foresaw, after saying so where the cascade's owner looks.
    """
    try:
        plan = make_plan(observed, settings, now)
        answers = _answers(plan, observed, settings, memory)
        return make_plan(observed, settings, now, answers) if answers else plan
    except Exception as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())[:MAX_ERROR]
        before, generation = cascade_status.read(observed.parent), observed.parent["metadata"].get("generation", 0)
        after = kstatus.complete(cascade_status.of_internal_error(what, before, generation, now), before, now)
        if after != before:  # the retries say the same
            logger.exception("planning %s failed", observed.parent["metadata"]["name"])
        await _write_status(kube, observed.parent, after)
        await memory.recorder.record(kube, observed.parent, events.transitions(before, after), now)
        raise InternalError(what) from error


def _answers(plan: Plan, observed: Observed, settings: Settings, memory: Memory) -> Answers:
    if settings.smoke is None:
        return {question.workload: None for question in plan.questions}
    metadata = observed.parent["metadata"]
    key = Key(metadata["namespace"], metadata["name"])
    return memory.inquiries.answers(key, plan.questions, settings.smoke)


async def _delete(kube: Kube, plan: Plan, key: Key) -> None:
    for deletion in plan.deletes:
        await kube.delete(deletion.resource, key.namespace, deletion.name, uid=deletion.uid)
        logger.info("%s: deleted %s %s", key, deletion.resource.kind, deletion.name)


async def _write_status(kube: Kube, parent: Object, after: CascadeStatus) -> None:
    """The one status write, if there is anything to say."""
    dumped = after.dump()
    if dumped != (parent.get("status") or {}):
        await kube.patch_status({**parent, "status": dumped})
