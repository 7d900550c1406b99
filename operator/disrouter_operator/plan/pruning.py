"""What goes: workloads that nobody is sent to any more, after a drain, and training objects that nobody needs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from disrouter import names
from disrouter_operator.kube.observed import Observed, is_terminating, label, owner_uid
from disrouter_operator.kube.resources import (
    CASCADES,
    CONFIG_MAPS,
    DEPLOYMENTS,
    HORIZONTAL_POD_AUTOSCALERS,
    HTTP_ROUTES,
    INFERENCE_SERVICES,
    INGRESSES,
    JOBS,
    NETWORK_POLICIES,
    POD_DISRUPTION_BUDGETS,
    SCALED_OBJECTS,
    SERVICES,
    TRAIN_JOBS,
    Object,
    Resource,
    reference,
    resource_of,
)
from disrouter_operator.kube.timestamps import seconds_until
from disrouter_operator.manifests.cascade import COMPONENT_AGENT, COMPONENT_TRAINING
from disrouter_operator.manifests.serving import scaling
from disrouter_operator.plan.agent_plan import AgentPlan
from disrouter_operator.plan.context import Context
from disrouter_operator.plan.training import observed_jobs

_AUTOSCALERS = (HORIZONTAL_POD_AUTOSCALERS, SCALED_OBJECTS)


@dataclass(frozen=True)
class Deletion:
    """An object that goes, identified also by uid so that a successor of the same name survives."""

    resource: Resource
    name: str
    uid: str


@dataclass(frozen=True)
class Drain:
    """Workloads that nobody wants any more: who leaves since when, and what may go now."""

    since: dict[str, str]
    due: tuple[Deletion, ...]
    next_due: float | None


def drain(context: Context, plans: Sequence[AgentPlan]) -> Drain:
    """Workloads that no agent wants: they left the route table, are given time, and then go."""
    unwanted = _unwanted(context, plans)
    since = {agent: _left_at(context, agent, objects) for agent, objects in unwanted.items()}
    due: list[Deletion] = []
    waits: list[float] = []
    for agent, objects in unwanted.items():
        wait = seconds_until(since[agent], context.now, context.cascade.spec.drain_seconds)
        if wait <= 0:
            due += [_deletion(obj) for obj in objects]
        else:
            waits.append(wait)
    # `since` stays until they are gone: a reconcile that may not delete must not start the drain anew.
    return Drain(since, tuple(due), min(waits, default=None))


def _unwanted(context: Context, plans: Sequence[AgentPlan]) -> Mapping[str, list[Object]]:
    wanted = {reference(obj) for plan in plans for obj in plan.workload}
    wanted |= {f"{INFERENCE_SERVICES.kind}/{name}" for plan in plans for name in plan.kept}
    found: dict[str, list[Object]] = {}
    for obj in _workloads(context):
        agent = label(obj, names.LABEL_AGENT)
        if agent is not None and reference(obj) not in wanted:
            found.setdefault(agent, []).append(obj)
    return found


def _left_at(context: Context, agent: str, objects: Sequence[Object]) -> str:
    """When the last of them left the route table: now, if requests went there until now."""
    before = context.before.get(agent)
    if before is None or before.draining_since is None or before.workload in {reference(obj) for obj in objects}:
        return context.stamp
    return before.draining_since


def _workloads(context: Context) -> Iterator[Object]:
    for resource in (INFERENCE_SERVICES, DEPLOYMENTS, SERVICES):
        for obj in context.observed.owned(resource):
            if label(obj, names.LABEL_COMPONENT) == COMPONENT_AGENT and not is_terminating(obj):
                yield obj


def obsolete(
    context: Context, desired: Sequence[Object], drain: Drain, going: Sequence[Deletion]
) -> Iterator[Deletion]:
    """Policies, budgets, autoscalers and ways in that nobody asks for, besides those that are `going` already.

    An agent that drains is still called and keeps its own, but for a budget: its pods could not be evicted under two.
    """
    wanted, gone = {reference(obj) for obj in desired}, {each.uid for each in going}
    for resource in (NETWORK_POLICIES, POD_DISRUPTION_BUDGETS, *_AUTOSCALERS, INGRESSES, HTTP_ROUTES):
        for obj in context.observed.owned(resource):
            called = label(obj, names.LABEL_AGENT) in drain.since and resource != POD_DISRUPTION_BUDGETS
            kept = called or reference(obj) in wanted or obj["metadata"]["uid"] in gone
            if not kept and not is_terminating(obj):
                yield _deletion(obj)


def rivals(context: Context, plans: Sequence[AgentPlan]) -> Iterator[Deletion]:
    """Autoscalers of pods that something else is to scale from now on: former ones of ours, and of KServe."""
    wanted = {reference(obj) for plan in plans for obj in plan.workload}
    scaled = {obj["metadata"]["name"] for plan in plans for obj in plan.workload} | {
        name for plan in plans for name in plan.kept
    }
    theirs = _left_by_kserve(context, scaled)
    for resource in _AUTOSCALERS:
        ours = [obj for obj in context.observed.owned(resource) if label(obj, names.LABEL_WORKLOAD) in scaled]
        for obj in (*ours, *(each for each in theirs if resource_of(each) == resource)):
            if reference(obj) not in wanted and not is_terminating(obj):
                yield _deletion(obj)


def _left_by_kserve(context: Context, scaled: Collection[str]) -> list[Object]:
    """Autoscalers that KServe made of InferenceServices, `scaled` by us, before they were left to us.

    It removes no ScaledObject of its own when that is said (annotation `external`), and KEDA lets no second one come.
    """
    owners = {
        obj["metadata"]["uid"]: names.predictor(obj["metadata"]["name"])
        for obj in context.observed.owned(INFERENCE_SERVICES)
        if obj["metadata"]["name"] in scaled and scaling.left_to_us(obj)
    }
    found = (obj for resource in _AUTOSCALERS for obj in context.observed.children[resource].values())
    return [obj for obj in found if (uid := owner_uid(obj)) in owners and _target(obj) == owners[uid]]


def _target(autoscaler: Object) -> str:
    """The Deployment that it scales."""
    return str(autoscaler["spec"]["scaleTargetRef"]["name"])


@dataclass(frozen=True)
class _Wanted:
    """What an agent still needs of its training objects."""

    run: str | None = None
    stage: str | None = None
    """The stage that a Job should work on."""
    jobs: frozenset[str] = frozenset()
    """Runs whose finished Jobs are kept for their logs."""
    inputs: frozenset[str] = frozenset()
    """Runs whose `run.json` is kept."""
    remove: frozenset[str] = field(default_factory=frozenset)
    """Uids of Jobs that go."""


@dataclass(frozen=True)
class Cleaning:
    """Training objects that go now, and when to look again."""

    due: tuple[Deletion, ...]
    again: float | None


def clean(context: Context, plans: Sequence[AgentPlan]) -> Cleaning:
    """Jobs and inputs of runs that are neither asked for nor remembered, and Jobs that are to be made anew."""
    expiries = {plan.status.name: _expiries(context, plan) for plan in plans}
    wanted = {plan.status.name: _wanted(plan, expiries[plan.status.name]) for plan in plans}
    due = [
        _deletion(obj)
        for obj in _training_objects(context)
        if not _stays(obj, wanted.get(label(obj, names.LABEL_AGENT) or "", _Wanted()))
    ]
    left = [wait for each in expiries.values() for wait in each.values() if wait > 0]
    return Cleaning(tuple(due), min(left, default=None))


def _expiries(context: Context, plan: AgentPlan) -> dict[str, float]:
    """Seconds until the finished Jobs of each promoted run go; none where the history alone decides."""
    wanted = context.cascade.spec.training
    ttl = wanted.jobs.ttl_seconds_after_finished if wanted is not None else None
    history = plan.training.history if plan.training is not None and ttl is not None else ()
    return {each.run: seconds_until(each.promoted_at, context.now, ttl or 0) for each in history}


def _wanted(plan: AgentPlan, expiries: Mapping[str, float]) -> _Wanted:
    training = plan.training
    if training is None:
        return _Wanted()
    run, progress = training.config.run, training.progress
    known = {each.run for each in training.history} | {run}
    working = run if training.served != run else None
    return _Wanted(
        run=run,
        stage=str(progress.stage) if progress.start else None,
        jobs=frozenset(each for each in known if each == working or expiries.get(each, 1.0) > 0),
        inputs=frozenset(known),
        remove=frozenset({str(progress.remove["metadata"]["uid"])} if progress.remove is not None else ()),
    )


def _training_objects(context: Context) -> Iterator[Object]:
    for resource in (JOBS, TRAIN_JOBS, SERVICES, CONFIG_MAPS):
        for obj in context.observed.owned(resource):
            ours = label(obj, names.LABEL_COMPONENT) == COMPONENT_TRAINING
            if ours and not is_terminating(obj):
                yield obj


def _stays(obj: Object, wanted: _Wanted) -> bool:
    run, resource = label(obj, names.LABEL_RUN), resource_of(obj)
    if resource == CONFIG_MAPS:
        return run in wanted.inputs
    if resource == SERVICES:  # where the pods of a stage meet
        return run == wanted.run and label(obj, names.LABEL_STAGE) == wanted.stage
    if obj["metadata"]["uid"] in wanted.remove:
        return False
    return run in wanted.jobs and (run == wanted.run or observed_jobs.finished(obj))


def orphans(observed: Observed) -> Iterator[Deletion]:
    """What a former cascade of this one's name left behind, under names that this one may need."""
    for children in observed.children.values():
        for obj in children.values():
            if _is_orphan(obj, observed.parent) and not is_terminating(obj):
                yield _deletion(obj)


def _is_orphan(obj: Object, parent: Object) -> bool:
    """Whether an object belongs to a former cascade of this one's name.

    The garbage collector knows owners by uid, but hears of them through informers that know objects by name: a cascade
    that is deleted and made anew while its watch is interrupted (an API server that restarts) looks like one that
    changed, and what the former one owned stays for ever. The name is live with another uid, so that owner is gone.
    """
    owners = obj["metadata"].get("ownerReferences") or []
    owner = next((each for each in owners if each.get("controller")), None)
    if owner is None:
        return False
    group = str(owner.get("apiVersion", "")).partition("/")[0]
    name = (group, owner.get("kind"), owner.get("name"))
    same_name = name == (CASCADES.group, CASCADES.kind, parent["metadata"]["name"])
    return same_name and owner.get("uid") != parent["metadata"]["uid"]


def _deletion(obj: Object) -> Deletion:
    return Deletion(resource_of(obj), obj["metadata"]["name"], obj["metadata"]["uid"])
