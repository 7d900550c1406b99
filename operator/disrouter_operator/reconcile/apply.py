"""A plan carried out: orphans go, what is not as wanted is applied, and what nobody is sent to any more is deleted."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from disrouter import names
from disrouter_operator.errors import Conflict, KubeError, NamespaceTerminating
from disrouter_operator.kube.client import Kube
from disrouter_operator.kube.observed import Observed, adoptable, label
from disrouter_operator.kube.resources import (
    DEPLOYMENTS,
    INFERENCE_SERVICES,
    SCALED_OBJECTS,
    SCALES,
    TRAIN_JOBS,
    Object,
    resource_of,
)
from disrouter_operator.manifests.cascade import COMPONENT_ENDPOINT, COMPONENT_ROUTES
from disrouter_operator.manifests.training.runs import STAGE_KINDS
from disrouter_operator.plan.cascade_plan import Plan
from disrouter_operator.plan.pruning import Deletion
from disrouter_operator.reconcile.write_guard import WINDOW, WriteGuard
from disrouter_operator.status import events
from disrouter_operator.status.cascade_status import ChildProblems

_FINAL = frozenset({400, 403, 404, 409, 422})
"""Answers about the object itself; anything else is about the API server and ends the reconcile."""
_ENDING = "because it is being terminated"
"""What the API server says of whatever is created in a namespace that goes (admission plugin NamespaceLifecycle)."""
_UNTYPED = "failed to create typed patch object"
"""What server-side apply says of a field that the kind does not have (kubernetes/kubernetes#122480)."""
_TRAFFIC = frozenset({COMPONENT_ROUTES, COMPONENT_ENDPOINT})

_INSTALLED_BY = {
    INFERENCE_SERVICES: " (is KServe installed?)",
    SCALED_OBJECTS: " (is KEDA installed?)",
    TRAIN_JOBS: " (is Kubeflow Trainer installed? else use spec.training.jobs.backend Job)",
}


logger = logging.getLogger(__name__)


@dataclass
class Outcome:
    """What became of a plan."""

    problems: ChildProblems = field(default_factory=ChildProblems)
    repaired: list[events.Note] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    """Seconds after which something should be written again."""
    traffic_moved: bool = True
    """Routes and endpoint are as wanted, so nobody is sent to what the plan deletes."""


async def carry_out(kube: Kube, plan: Plan, observed: Observed, guard: WriteGuard, now: datetime) -> Outcome:
    """Do what a plan says, in its order. One child that is refused does not keep the others from being written.

    Raises KubeError; NamespaceTerminating where nothing can be made any more.
    """
    await _delete(kube, plan.orphans, observed, ", left by a former cascade of that name")
    await _delete(kube, plan.rivals, observed, ", before another autoscaler of that agent comes")
    outcome = await _apply_all(kube, plan, observed, guard, now)
    if outcome.traffic_moved:
        await _delete(kube, plan.deletes, observed)
    return outcome


async def _delete(kube: Kube, deletions: Iterable[Deletion], observed: Observed, why: str = "") -> None:
    metadata = observed.parent["metadata"]
    for each in deletions:
        await kube.delete(each.resource, metadata["namespace"], each.name, uid=each.uid)
        cascade = f"{metadata['namespace']}/{metadata['name']}"
        logger.info("%s: deleted %s %s%s", cascade, each.resource.kind, each.name, why)


async def _apply_all(kube: Kube, plan: Plan, observed: Observed, guard: WriteGuard, now: datetime) -> Outcome:
    outcome = Outcome()
    for write in (*plan.applies, *plan.scales):
        obj = write.obj
        try:
            wait = await _apply(kube, obj, observed, guard, now)
        except KubeError as error:
            if _ENDING in str(error):
                raise NamespaceTerminating(str(error), error.status) from None
            if not _about_the_object(error):
                raise
            problems = outcome.problems
            (problems.delayed if error.of_webhook else problems.refused).append(_refusal(obj, error))
            wait = guard.refused(obj)
        else:
            guard.accepted(obj)
            outcome.problems.unkept += [_unkept(obj)] if wait else []
            outcome.repaired += [write.repair] if write.repair is not None and not wait else []
        if wait:
            outcome.waits.append(wait)
            outcome.traffic_moved &= label(obj, names.LABEL_COMPONENT) not in _TRAFFIC
    return outcome


def _about_the_object(error: KubeError) -> bool:
    """Whether other objects may fare better: a webhook that is down, and a field that a schema lacks, are a 500."""
    return error.status in _FINAL or error.of_webhook or (error.status == 500 and _UNTYPED in str(error))


async def _apply(kube: Kube, obj: Object, observed: Observed, guard: WriteGuard, now: datetime) -> float:
    """Apply an object unless that is known to be in vain; returns the seconds until it should be applied again."""
    scales = resource_of(obj) == SCALES
    wait = guard.wait(observed.find(DEPLOYMENTS if scales else resource_of(obj), obj["metadata"]["name"]), obj, now)
    if wait:
        return wait
    if scales:
        return guard.note(await kube.scale(obj), obj, now)
    await _check_owner(kube, obj, observed)
    if resource_of(obj) in STAGE_KINDS:
        await _create(kube, obj)
        return 0.0
    return guard.note(await kube.apply(obj), obj, now)


async def _create(kube: Kube, obj: Object) -> None:
    """What is never patched is not applied either: an older API server refuses to apply fields that it does not know,
    and drops them from what is created."""
    with contextlib.suppress(Conflict):  # made meanwhile, and named by its content
        await kube.create(obj)


async def _check_owner(kube: Kube, obj: Object, observed: Observed) -> None:
    """An object of that name that is not this cascade's is never taken over."""
    resource, name = resource_of(obj), obj["metadata"]["name"]
    live = observed.find(resource, name) or await kube.get(resource, obj["metadata"]["namespace"], name)
    if live is None:
        return
    if not adoptable(live, observed.parent):
        raise KubeError("an object of that name exists and is not this cascade's; rename the agent or the object", 409)


def _refusal(obj: Object, error: KubeError) -> str:
    hint = _INSTALLED_BY.get(resource_of(obj), "") if error.status == 404 else ""
    return f"{_name(obj)}: {error}{hint}"


def _unkept(obj: Object) -> str:
    minutes = WINDOW.total_seconds() / 60
    return (
        f"{_name(obj)} does not stay as it is applied: an admission webhook or another controller changes it each "
        f"time; exempt it there (it is written again every {minutes:g} minutes)"
    )


def _name(obj: Object) -> str:
    return f"{obj['kind']} {obj['metadata']['name']}"
