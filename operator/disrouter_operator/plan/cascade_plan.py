"""The decision of a pass: what is wanted and what is, at this moment, become writes, deletions and a status.

Pure. The order of the writes is the order that loses no request: the route table changes first, what it no longer
names is drained, and only then deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from disrouter import names
from disrouter.api import CascadeStatus
from disrouter.errors import InvalidCascade
from disrouter.routes import RouteTable
from disrouter_operator.kube import diff
from disrouter_operator.kube.observed import Observed, label
from disrouter_operator.kube.resources import INFERENCE_SERVICES, POD_DISRUPTION_BUDGETS, Object, Resource, resource_of
from disrouter_operator.manifests.cascade import COMPONENT_TRAINING, Cascade
from disrouter_operator.manifests.serving import disruption_budget, network_policy, service
from disrouter_operator.plan import agent_status, pruning, route_table
from disrouter_operator.plan.agent_plan import AgentPlan, plan_agent
from disrouter_operator.plan.context import View
from disrouter_operator.plan.pruning import Deletion, Drain
from disrouter_operator.settings import Settings
from disrouter_operator.smoke_probe import Answers, Question
from disrouter_operator.status import cascade_status, events

TERMINATING_RETRY_SECONDS = 5.0
"""A wanted object that is being deleted is created again after it is gone; not every kind wakes us then."""
NO_ANSWERS: Answers = {}


@dataclass(frozen=True)
class Write:
    """An object to apply, and what to say of it if that undoes what somebody else did."""

    obj: Object
    repair: events.Note | None = None


@dataclass(frozen=True)
class Plan:
    """What a pass does, in this order: applies, deletes, the status, notes.

    Where `questions` are open, the caller plans again with the answers that it knows, before it does anything; one that
    is not answered yet leaves requests where they are.
    """

    applies: tuple[Write, ...]
    deletes: tuple[Deletion, ...]
    status: CascadeStatus
    requeue_after: float | None = None
    questions: tuple[Question, ...] = ()


def make_plan(observed: Observed, settings: Settings, now: datetime, answers: Answers = NO_ANSWERS) -> Plan:
    """Decide. An invalid cascade changes nothing but its own status."""
    before = cascade_status.read(observed.parent)
    try:
        # A pod's patch shows only when it is merged whether it leaves what the operator relies on.
        cascade = Cascade.of(observed.parent)
        view = View(cascade, observed, settings, now, {agent.name: agent for agent in before.agents}, answers)
        return _plan(view, before)
    except InvalidCascade as error:
        generation = observed.parent["metadata"].get("generation", 0)
        return Plan((), (), cascade_status.of_invalid(str(error), before, generation, now))


def _plan(view: View, before: CascadeStatus) -> Plan:
    plans = [plan_agent(view, index) for index, _ in view.cascade.indexed()]
    table = _table(view, plans)
    desired, unknown = _known(_desired(view, plans, table), view.observed)
    drain, cleaning = pruning.drain(view, plans), pruning.clean(view, plans)
    terminating = any(_terminating(obj, view.observed) for obj in desired)
    waits = [drain.next_due, cleaning.again, TERMINATING_RETRY_SECONDS if terminating else None]
    waits += [plan.again for plan in plans]
    return Plan(
        applies=tuple(Write(obj, _repair(obj, view.observed)) for obj in desired if not _as_wanted(obj, view.observed)),
        deletes=(*drain.due, *cleaning.due, *pruning.obsolete(view, desired, drain)),
        status=cascade_status.of_facts(_facts(view, plans, table.entrypoint, drain, unknown), before, view.now),
        requeue_after=min((wait for wait in waits if wait is not None), default=None),
        questions=tuple(plan.question for plan in plans if plan.question is not None),
    )


def _table(view: View, plans: Sequence[AgentPlan]) -> RouteTable:
    stops = {plan.status.name: plan.stop for plan in plans if plan.stop is not None}
    answering = {plan.status.name for plan in plans if plan.status.ready and not plan.cold}
    return route_table.table(view.cascade, stops, route_table.entrypoint(view.cascade, stops, answering))


def _desired(view: View, plans: Sequence[AgentPlan], table: RouteTable) -> list[Object]:
    """Every child. Who may call whom is settled before queries enter elsewhere."""
    cascade = view.cascade
    entry = next(plan for plan in plans if plan.status.name == table.entrypoint)
    return [
        route_table.config_map(cascade, table),
        *(obj for plan in plans for obj in (*plan.workload, *_jobs(plan))),
        *(each for _, agent in cascade.indexed() if (each := disruption_budget.budget(cascade, agent)) is not None),
        *network_policy.policies(cascade, table, view.settings),
        service.service(cascade, dict(entry.selector)),
    ]


def _known(desired: list[Object], observed: Observed) -> tuple[list[Object], frozenset[Resource]]:
    """What the API server knows the kind of, and the kinds that it does not know and that can be done without.

    Agents that need InferenceServices say themselves that there are none (`workload_health.py`).
    """
    unwritten = {POD_DISRUPTION_BUDGETS, INFERENCE_SERVICES} & observed.absent
    unknown = frozenset(unwritten & {resource_of(obj) for obj in desired}) - {INFERENCE_SERVICES}
    return [obj for obj in desired if resource_of(obj) not in unwritten], unknown


def _jobs(plan: AgentPlan) -> tuple[Object, ...]:
    return plan.life.jobs if plan.life is not None else ()


def _as_wanted(desired: Object, observed: Observed) -> bool:
    live = _live(desired, observed)
    if live is None:
        return False
    if _terminating(desired, observed) or label(desired, names.LABEL_COMPONENT) == COMPONENT_TRAINING:
        return True  # Jobs and their inputs are named by their content and never patched
    return diff.satisfies(live, desired)


def _terminating(desired: Object, observed: Observed) -> bool:
    live = _live(desired, observed)
    return live is not None and bool(live["metadata"].get("deletionTimestamp"))


def _live(desired: Object, observed: Observed) -> Object | None:
    return observed.find(resource_of(desired), desired["metadata"]["name"])


def _repair(obj: Object, observed: Observed) -> events.Note | None:
    live = _live(obj, observed)
    managers = diff.foreign_managers(live, obj) if live is not None else []
    return events.repaired(obj, managers) if managers else None


def _facts(
    view: View, plans: Sequence[AgentPlan], entrypoint: str, drain: Drain, unknown: frozenset[Resource]
) -> cascade_status.Facts:
    staying = {plan.status.name for plan in plans}
    gone = [
        agent_status.leaving(name, since, view.cascade.spec.drain_seconds)
        for name, since in drain.since.items()
        if name not in staying
    ]
    agents = [plan.status.model_copy(update={"draining_since": drain.since.get(plan.status.name)}) for plan in plans]
    return cascade_status.Facts(
        generation=view.cascade.generation,
        url=service.url(view.cascade, view.settings),
        entrypoint=entrypoint,
        agents=(*agents, *gone),
        held=frozenset(plan.status.name for plan in plans if plan.stop is None),
        to_train=sum(plan.to_train for plan in plans),
        trained=sum(plan.trained for plan in plans),
        unknown=tuple(f"{each.kind} of {each.api_version}" for each in sorted(unknown)),
        unreadable=tuple(f"{each.kind} ({each.right('list')})" for each in sorted(view.observed.unreadable)),
    )
