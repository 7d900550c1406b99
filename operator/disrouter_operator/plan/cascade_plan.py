"""The decision of a reconcile: what is wanted and what is, at this moment, become writes, deletions and a status.

Pure. The order of the writes is the order that loses no request: the route table changes first, what it no longer
names is drained, and only then deleted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from disrouter import names
from disrouter.api import CascadeStatus
from disrouter.errors import InvalidCascade
from disrouter.routes import RouteTable
from disrouter_operator.kube import diff
from disrouter_operator.kube.observed import (
    PUBLISHING,
    Observed,
    is_terminating,
    label,
    owner_uid,
    told_unreadable,
)
from disrouter_operator.kube.resources import (
    DEPLOYMENTS,
    INFERENCE_SERVICES,
    POD_DISRUPTION_BUDGETS,
    SERVICES,
    TRAIN_JOBS,
    Object,
    Resource,
    resource_of,
)
from disrouter_operator.manifests import claims
from disrouter_operator.manifests.cascade import COMPONENT_TRAINING, Cascade
from disrouter_operator.manifests.serving import disruption_budget, exposure, network_policy, service
from disrouter_operator.plan import agent_status, entrypoint, pruning, route_table, workload_health
from disrouter_operator.plan.agent_plan import AgentPlan, plan_agent
from disrouter_operator.plan.context import Context
from disrouter_operator.plan.entrypoint import Entrypoint
from disrouter_operator.plan.pruning import Deletion, Drain
from disrouter_operator.settings import Settings
from disrouter_operator.smoke_probe import SmokeProbe
from disrouter_operator.status import cascade_status, events

OCCUPIED_RETRY_SECONDS = 5.0
"""A name that an object on its way out still has is used after it is gone; not every kind wakes us then."""


@dataclass(frozen=True)
class Write:
    """An object to apply, and what to say of it if that undoes what somebody else did."""

    obj: Object
    repair: events.Note | None = None


@dataclass(frozen=True)
class Plan:
    """What a reconcile does, in this order: deletes orphans and rivals, applies, scales, deletes, writes the status."""

    findings: cascade_status.Findings
    """What the status says."""
    orphans: tuple[Deletion, ...] = ()
    rivals: tuple[Deletion, ...] = ()
    """Autoscalers of what another one is to scale: KEDA lets no second one come."""
    applies: tuple[Write, ...] = ()
    scales: tuple[Write, ...] = ()
    """Pods of Deployments that KServe keeps otherwise."""
    deletes: tuple[Deletion, ...] = ()
    requeue_after: float | None = None
    probes: tuple[SmokeProbe, ...] = ()
    """What new pods are asked; without an answer requests stay where they are."""
    serving: frozenset[str] = frozenset()
    """Agents that answer now."""
    waking: frozenset[str] = frozenset()
    """Agents that had no pods and get their first."""


@dataclass(frozen=True)
class _Lacking:
    """Kinds that a cascade is concerned with and that are done without."""

    unknown: frozenset[Resource]
    """To the API server."""
    unreadable: frozenset[Resource]
    """By the operator's role."""


def make_plan(observed: Observed, before: CascadeStatus, settings: Settings, now: datetime) -> Plan:
    """Decide. An invalid cascade changes nothing but its own status."""
    orphans = tuple(pruning.orphans(observed))
    try:
        # A pod's patch shows only when it is merged whether it leaves what the operator relies on.
        cascade = Cascade.of(observed.parent)
        own = observed.without({each.uid for each in orphans})  # what goes says nothing of this cascade
        known, edited = {agent.name: agent for agent in before.agents}, before.observed_generation != cascade.generation
        context = Context(cascade, own, settings, now, known, edited)
        return _plan(context, orphans)
    except InvalidCascade as error:
        return Plan(cascade_status.Invalid(str(error)), orphans)


def _plan(context: Context, orphans: tuple[Deletion, ...]) -> Plan:
    plans = [plan_agent(context, index) for index, _ in context.cascade.indexed()]
    entries = {plan.status.name: plan.entry for plan in plans if plan.entry is not None}
    serving = {plan.status.name: plan.since for plan in plans if plan.status.ready and not plan.cold}
    entry = _entrypoint(context, serving, route_table.route(context.cascade, entries))
    table = route_table.table(context.cascade, entries, entry.agent)
    lost = workload_health.lost_pods(context.observed, context.now)
    desired, lacking = _known(_desired(context, plans, table, lost.count), context.observed)
    drain, cleaning = pruning.drain(context, plans), pruning.clean(context, plans)
    rivals = tuple(pruning.rivals(context, plans))
    taken = {(each.resource, each.name) for each in orphans}
    free = [obj for obj in desired if not _occupied(obj, context.observed, taken)]
    waits = [drain.next_due, cleaning.again, OCCUPIED_RETRY_SECONDS if len(free) < len(desired) else None]
    waits += [entry.again, lost.again, *(wait for plan in plans for wait in (plan.again, plan.waking))]
    return Plan(
        findings=_facts(context, plans, entry, drain, lacking),
        orphans=orphans,
        rivals=rivals,
        scales=tuple(Write(obj, _undone_scale(context, obj)) for plan in plans for obj in plan.scales),
        applies=tuple(
            Write(obj, _repair(obj, context.observed)) for obj in free if not _as_wanted(obj, context.observed)
        ),
        deletes=(*drain.due, *cleaning.due, *pruning.obsolete(context, desired, drain, rivals)),
        requeue_after=min((wait for wait in waits if wait is not None), default=None),
        probes=tuple(plan.probe for plan in plans if plan.probe is not None),
        serving=frozenset(serving),
        waking=frozenset(plan.status.name for plan in plans if plan.waking is not None),
    )


def _entrypoint(context: Context, said: Mapping[str, datetime | None], route: Sequence[str]) -> Entrypoint:
    """Where requests enter, seen from where the cascade's Service leads to until now."""
    now, seen = context.now, context.observed.seen_serving
    serving = {agent: entrypoint.since(moment, seen.get(agent), now) for agent, moment in said.items()}
    live = context.observed.find(SERVICES, context.cascade.name)
    selector = live["spec"].get("selector") or {} if live is not None else {}
    return entrypoint.choose(route, serving, selector.get(names.LABEL_AGENT), now)


def _desired(context: Context, plans: Sequence[AgentPlan], table: RouteTable, lost: int) -> list[Object]:
    """Every child. Who may call whom is settled before queries enter elsewhere."""
    cascade = context.cascade
    place, entry = next(each for each in enumerate(plans) if each[1].status.name == table.entrypoint)
    return [
        route_table.config_map(cascade, table),
        *(obj for plan in plans for obj in (*plan.workload, *_jobs(plan))),
        disruption_budget.budget(cascade, lost),
        *network_policy.policies(cascade, table, context.settings),
        service.service(cascade, cascade.spec.agents[place], dict(entry.selector)),
        *exposure.ways_in(cascade),
    ]


def _known(desired: list[Object], observed: Observed) -> tuple[list[Object], _Lacking]:
    """What can be written, and the kinds that are done without.

    Agents that need InferenceServices say themselves that there are none (`workload_health.py`). TrainJobs may be left
    of another backend, also where nobody asks for one.
    """
    asked = frozenset(resource_of(obj) for obj in desired)
    absent = {POD_DISRUPTION_BUDGETS, INFERENCE_SERVICES, *PUBLISHING} & observed.absent
    unwritten = absent | (PUBLISHING & observed.unreadable)
    lacking = _Lacking(
        unknown=asked & (absent - {INFERENCE_SERVICES}),
        unreadable=observed.unreadable & (asked | {TRAIN_JOBS} | told_unreadable(observed.parent)),
    )
    return [obj for obj in desired if resource_of(obj) not in unwritten], lacking


def _jobs(plan: AgentPlan) -> tuple[Object, ...]:
    return plan.training.jobs if plan.training is not None else ()


def _as_wanted(desired: Object, observed: Observed) -> bool:
    """Whether nothing is to be applied now."""
    live = _live(desired, observed)
    if live is None:
        return False
    if label(desired, names.LABEL_COMPONENT) == COMPONENT_TRAINING:
        return True  # Jobs and their inputs are named by their content and never patched
    return diff.satisfies(live, desired)


def _occupied(desired: Object, observed: Observed, taken: Collection[tuple[Resource, str]]) -> bool:
    """Whether the name still belongs to an object that goes: one that is terminating, or an orphan (`taken`)."""
    return is_terminating(_live(desired, observed)) or (resource_of(desired), desired["metadata"]["name"]) in taken


def _live(desired: Object, observed: Observed) -> Object | None:
    return observed.find(resource_of(desired), desired["metadata"]["name"])


def _repair(obj: Object, observed: Observed) -> events.Note | None:
    live = _live(obj, observed)
    if live is not None and owner_uid(live) is None:
        return events.adopted(obj)
    managers = diff.foreign_managers(live, obj) if live is not None else []
    return events.repaired(obj, managers) if managers else None


def _undone_scale(context: Context, obj: Object) -> events.Note | None:
    """What to say of a Scale, unless the manifest itself has just asked for it."""
    live = context.observed.find(DEPLOYMENTS, obj["metadata"]["name"])
    managers = diff.foreign_managers(live, {"spec": obj["spec"]}) if live is not None and not context.edited else []
    return events.rescaled(obj, managers) if managers else None


def _facts(
    context: Context, plans: Sequence[AgentPlan], entry: Entrypoint, drain: Drain, lacking: _Lacking
) -> cascade_status.Facts:
    staying = {plan.status.name for plan in plans}
    gone = [
        agent_status.leaving(name, since, context.cascade.spec.drain_seconds)
        for name, since in drain.since.items()
        if name not in staying
    ]
    agents = [plan.status.model_copy(update={"draining_since": drain.since.get(plan.status.name)}) for plan in plans]
    return cascade_status.Facts(
        url=service.url(context.cascade, context.settings),
        entrypoint=entry.agent,
        returning=entry.returning,
        agents=(*agents, *gone),
        held=frozenset(plan.status.name for plan in plans if plan.entry is None),
        to_train=sum(plan.to_train for plan in plans),
        trained=sum(plan.trained for plan in plans),
        unknown=tuple(f"{each.kind} of {each.api_version}" for each in sorted(lacking.unknown)),
        unreadable=tuple(f"{each.kind} ({each.right('list')})" for each in sorted(lacking.unreadable)),
        unpruned=_unpruned(context, lacking),
        confined=tuple(claims.confined(context.cascade, context.observed.claim_modes)),
    )


def _unpruned(context: Context, lacking: _Lacking) -> str | None:
    """How somebody looks for the ways in that the operator can neither see nor delete."""
    plurals = ",".join(each.plural for each in sorted(lacking.unreadable & PUBLISHING))
    cascade = context.cascade
    selector = f"{names.LABEL_CASCADE}={cascade.name}"
    return f"kubectl delete {plurals} -n {cascade.namespace} -l {selector}" if plurals else None
