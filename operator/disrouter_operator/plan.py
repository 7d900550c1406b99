"""The decision of a pass: what is wanted and what is, at this moment, become writes, deletions and a status.

Pure. The order of the writes is the order that loses no request: the route table changes first, what it no longer
names is drained, and only then deleted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from disrouter import names
from disrouter.api import AgentStatus, CascadeStatus
from disrouter.errors import InvalidCascade
from disrouter.routes import RouteTable
from disrouter_operator import agents as agent_plans
from disrouter_operator import disruption, drift, endpoint, events, network, routing, status
from disrouter_operator.agents import AgentPlan
from disrouter_operator.cascade import COMPONENT_AGENT, COMPONENT_TRAINING, Cascade
from disrouter_operator.observe import Observed, label
from disrouter_operator.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    INFERENCE_SERVICES,
    JOBS,
    NETWORK_POLICIES,
    POD_DISRUPTION_BUDGETS,
    SERVICES,
    Object,
    Resource,
    resource_of,
)
from disrouter_operator.settings import Settings

TERMINATING_RETRY_SECONDS = 5.0
"""A wanted object that is being deleted is created again after it is gone; not every kind wakes us then."""


@dataclass(frozen=True)
class Deletion:
    """An object that goes, identified also by uid so that a successor of the same name survives."""

    resource: Resource
    name: str
    uid: str


@dataclass(frozen=True)
class Write:
    """An object to apply, and what to say of it if that undoes what somebody else did."""

    obj: Object
    repair: events.Note | None = None


@dataclass(frozen=True)
class Plan:
    """What a pass does, in this order: applies, deletes, the status, notes."""

    applies: tuple[Write, ...]
    deletes: tuple[Deletion, ...]
    status: CascadeStatus
    requeue_after: float | None = None


@dataclass(frozen=True)
class _Drain:
    """Workloads that nobody wants any more: who leaves since when, and what may go now."""

    since: dict[str, str]
    due: tuple[Deletion, ...]
    next_due: float | None


def make_plan(observed: Observed, settings: Settings, now: datetime) -> Plan:
    """Decide. An invalid cascade changes nothing but its own status."""
    before = status.read(observed.parent)
    try:
        # A pod's patch shows only when it is merged whether it leaves what the operator relies on.
        return _plan(Cascade.of(observed.parent), observed, before, settings, now)
    except InvalidCascade as error:
        generation = observed.parent["metadata"].get("generation", 0)
        return Plan((), (), status.of_invalid(str(error), before, generation, now))


def _plan(cascade: Cascade, observed: Observed, before: CascadeStatus, settings: Settings, now: datetime) -> Plan:
    known = agent_plans.by_name(before.agents)
    plans = [
        agent_plans.plan_agent(cascade, index, observed, known.get(agent.name), settings)
        for index, agent in cascade.indexed()
    ]
    stops = {plan.status.name: plan.stop for plan in plans if plan.stop is not None}
    answering = {plan.status.name for plan in plans if plan.status.ready and not plan.cold}
    table = routing.table(cascade, stops, routing.entry(cascade, stops, answering))
    desired, unknown = _known(_desired(cascade, plans, table), observed)
    drain = _drain(cascade, observed, plans, known, now)
    terminating = any(_terminating(obj, observed) for obj in desired)
    after = status.of_facts(_facts(cascade, plans, table.entry, drain, settings, unknown=unknown), before, now)
    waits = [wait for wait in (drain.next_due, TERMINATING_RETRY_SECONDS if terminating else None) if wait is not None]
    return Plan(
        applies=tuple(Write(obj, _repair(obj, observed)) for obj in desired if not _as_wanted(obj, observed)),
        deletes=(*drain.due, *_superseded(observed, plans), *_obsolete(observed, desired, drain)),
        status=after,
        requeue_after=min(waits, default=None),
    )


def _desired(cascade: Cascade, plans: Sequence[AgentPlan], table: RouteTable) -> list[Object]:
    """Every child. Who may call whom is settled before queries enter elsewhere."""
    return [
        routing.config_map(cascade, table),
        *(obj for plan in plans for obj in (*plan.workload, *plan.jobs)),
        *(each for _, agent in cascade.indexed() if (each := disruption.budget(cascade, agent)) is not None),
        *network.policies(cascade, table),
        endpoint.service(cascade, table.entry),
    ]


def _known(desired: list[Object], observed: Observed) -> tuple[list[Object], frozenset[Resource]]:
    """What the API server knows the kind of, and the kinds that it does not know and that can be done without."""
    unknown = frozenset({POD_DISRUPTION_BUDGETS} & observed.absent & {resource_of(obj) for obj in desired})
    return [obj for obj in desired if resource_of(obj) not in unknown], unknown


def _as_wanted(desired: Object, observed: Observed) -> bool:
    live = _live(desired, observed)
    if live is None:
        return False
    if _terminating(desired, observed) or label(desired, names.LABEL_COMPONENT) == COMPONENT_TRAINING:
        return True  # Jobs and their inputs are named by their content and never patched
    return drift.satisfies(live, desired)


def _terminating(desired: Object, observed: Observed) -> bool:
    live = _live(desired, observed)
    return live is not None and bool(live["metadata"].get("deletionTimestamp"))


def _live(desired: Object, observed: Observed) -> Object | None:
    return observed.find(resource_of(desired), desired["metadata"]["name"])


def _repair(obj: Object, observed: Observed) -> events.Note | None:
    live = _live(obj, observed)
    managers = drift.foreign_managers(live, obj) if live is not None else []
    return events.repaired(obj, managers) if managers else None


def _drain(
    cascade: Cascade, observed: Observed, plans: Sequence[AgentPlan], known: dict[str, AgentStatus], now: datetime
) -> _Drain:
    """Workloads that no agent wants: they left the route table, are given time, and then go."""
    wanted = {(resource_of(obj), obj["metadata"]["name"]) for plan in plans for obj in plan.workload}
    since: dict[str, str] = {}
    due: list[Deletion] = []
    waits: list[float] = []
    for resource, obj in _workloads(observed):
        agent = label(obj, names.LABEL_AGENT)
        if agent is None or (resource, obj["metadata"]["name"]) in wanted:
            continue
        left = (known[agent].draining_since if agent in known else None) or status.timestamp(now)
        since[agent] = left  # until it is gone: a pass that may not delete must not start its drain anew
        wait = (_moment(left) + timedelta(seconds=cascade.spec.drain_seconds) - now).total_seconds()
        if wait <= 0:
            due.append(_deletion(resource, obj))
        else:
            waits.append(wait)
    return _Drain(since, tuple(due), min(waits, default=None))


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _workloads(observed: Observed) -> Iterator[tuple[Resource, Object]]:
    for resource in (INFERENCE_SERVICES, DEPLOYMENTS, SERVICES):
        for obj in observed.owned(resource):
            if label(obj, names.LABEL_COMPONENT) == COMPONENT_AGENT and not obj["metadata"].get("deletionTimestamp"):
                yield resource, obj


def _superseded(observed: Observed, plans: Sequence[AgentPlan]) -> Iterator[Deletion]:
    """Jobs and inputs of runs that nobody asks for, and a Job whose result is lost."""
    runs = {plan.status.name: plan.run for plan in plans}
    repeat = {plan.repeat["metadata"]["name"] for plan in plans if plan.repeat is not None}
    for resource in (JOBS, CONFIG_MAPS):
        for obj in observed.owned(resource):
            if label(obj, names.LABEL_COMPONENT) != COMPONENT_TRAINING or obj["metadata"].get("deletionTimestamp"):
                continue
            current = runs.get(label(obj, names.LABEL_AGENT) or "") == label(obj, names.LABEL_RUN)
            if not current or (resource is JOBS and obj["metadata"]["name"] in repeat):
                yield _deletion(resource, obj)


def _obsolete(observed: Observed, desired: Sequence[Object], drain: _Drain) -> Iterator[Deletion]:
    """Policies and budgets that are not asked for any more; an agent that drains is still called and keeps its own."""
    wanted = {(resource_of(obj), obj["metadata"]["name"]) for obj in desired}
    for resource in (NETWORK_POLICIES, POD_DISRUPTION_BUDGETS):
        for obj in observed.owned(resource):
            kept = (resource, obj["metadata"]["name"]) in wanted or label(obj, names.LABEL_AGENT) in drain.since
            if not kept and not obj["metadata"].get("deletionTimestamp"):
                yield _deletion(resource, obj)


def _deletion(resource: Resource, obj: Object) -> Deletion:
    return Deletion(resource, obj["metadata"]["name"], obj["metadata"]["uid"])


def _facts(
    cascade: Cascade,
    plans: Sequence[AgentPlan],
    entry: str,
    drain: _Drain,
    settings: Settings,
    *,
    unknown: frozenset[Resource],
) -> status.Facts:
    staying = {plan.status.name for plan in plans}
    gone = [
        agent_plans.leaving(name, since, cascade.spec.drain_seconds)
        for name, since in drain.since.items()
        if name not in staying
    ]
    agents = [plan.status.model_copy(update={"draining_since": drain.since.get(plan.status.name)}) for plan in plans]
    return status.Facts(
        generation=cascade.generation,
        url=endpoint.url(cascade, settings),
        entry=entry,
        agents=(*agents, *gone),
        held=frozenset(plan.status.name for plan in plans if plan.stop is None),
        to_train=sum(plan.run is not None for plan in plans),
        trained=sum(plan.trained for plan in plans),
        unknown=tuple(f"{each.kind} of {each.api_version}" for each in sorted(unknown)),
    )
