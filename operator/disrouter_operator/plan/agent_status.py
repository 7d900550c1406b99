"""What `status.agents[]` says of an agent: one phase for the eye, two conditions for what goes on side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from disrouter.api import Agent, AgentConditionType, AgentStatus, Condition, Phase
from disrouter_operator.kube.resources import resource_of
from disrouter_operator.manifests.training.runs import STAGE_KINDS
from disrouter_operator.plan.context import View
from disrouter_operator.plan.rollout import Placed
from disrouter_operator.plan.route_table import Stop
from disrouter_operator.plan.training import observed_jobs
from disrouter_operator.plan.training.decision import Life
from disrouter_operator.plan.workload_health import Serving
from disrouter_operator.status.conditions import Verdict, conditions

Said = tuple[str, str]
"""Reason and message."""


@dataclass(frozen=True)
class Served:
    """How an agent is served."""

    state: Serving
    stop: Stop
    workload: str
    """`<kind>/<name>` of what its requests go to."""
    placed: Placed | None = None
    """Of an InferenceService."""


_COLD = ("ScaledToZero", "it has no pods; agents before it pass over it until it is up")
_SETTLED = (Phase.READY, Phase.PENDING, Phase.SERVING_FAILED)
"""Phases of an agent whose weights were rolled out before."""


def of_serving(view: View, agent: Agent, served: Served) -> AgentStatus:
    """An agent that is not trained: external, prompted, or the last one. What it was promoted to is remembered."""
    before, state, placed = view.before.get(agent.name), served.state, served.placed
    done = state.ready and state.replaced and (placed is None or not placed.moving)
    reason, message = (_COLD if state.cold else (None, None)) if done else _pending(state, placed)
    status = AgentStatus(
        name=agent.name,
        phase=Phase.READY if done else Phase.PENDING,
        reason=reason,
        message=message,
        history=before.history if before is not None else (),
    )
    return _with_conditions(view, _with_serving(status, served), [_serving(state, placed)])


def of_training(view: View, agent: Agent, life: Life, served: Served | None) -> AgentStatus:
    """An agent in mode trained; `served` is None while it is held out of the route."""
    before = view.before.get(agent.name)
    status = _training_status(agent, life, before)
    if served is None or served.placed is None:
        return _with_conditions(view, status, [_trained(life)])
    if life.settled:
        status = status.model_copy(update=_rollout(life, served.placed, before))
    status = _with_serving(status, served)
    return _with_conditions(view, status, [_serving(served.state, served.placed), _trained(life)])


def leaving(name: str, since: str, drain_seconds: int) -> AgentStatus:
    """An agent that left the spec and is drained."""
    message = f"left the route table at {since}; deleted {drain_seconds} s later"
    return AgentStatus(name=name, phase=Phase.DRAINING, reason="Removed", message=message, draining_since=since)


def _training_status(agent: Agent, life: Life, before: AgentStatus | None) -> AgentStatus:
    state = life.progress
    known = state if state.evaluation is not None else before
    return AgentStatus(
        name=agent.name,
        phase=state.phase,
        reason=state.reason,
        message=state.message,
        run=life.config.run,
        served_run=life.served,
        evaluation=known.evaluation if known is not None else None,
        compared_with=known.compared_with if known is not None else None,
        stage=state.stage,
        job=_job(life),
        attempts=state.attempts or None,
        failed_job=state.failed_job,
        retry_at=state.retry_at,
        revision=life.pinned,
        history=life.history,
    )


def _job(life: Life) -> str | None:
    """What works on the stage, or is about to be made for it."""
    if life.progress.job is not None:
        return None if observed_jobs.complete(life.progress.job) else observed_jobs.reference(life.progress.job)
    return next((observed_jobs.reference(obj) for obj in life.jobs if resource_of(obj) in STAGE_KINDS), None)


def _rollout(life: Life, placed: Placed, before: AgentStatus | None) -> dict[str, object]:
    """Phase of an agent that should serve its newest run, or the one it is rolled back to, until its pods do."""
    settled = before is not None and before.served_run == life.served and before.phase in _SETTLED
    state = placed.target
    there = state.rolled_out or (settled and state.ready and state.replaced)
    if there and not placed.moving:
        if life.pinned is not None:
            return {"phase": Phase.READY, "reason": "RolledBack", "message": life.progress.message}
        return {"phase": Phase.READY, "reason": "Promoted", "message": f"run {life.config.run} is served"}
    reason, message = _pending(state, placed)
    if placed.complaint is not None:
        return {"phase": Phase.PROMOTING_FAILED, "reason": reason, "message": message}
    return {"phase": Phase.PENDING if settled else Phase.PROMOTING, "reason": reason, "message": message}


def _pending(state: Serving, placed: Placed | None) -> Said:
    if placed is not None and placed.complaint is not None:
        name = placed.desired["metadata"]["name"]
        return "SmokeFailed", f"{name} serves but did not answer a question, so it gets none: {placed.complaint}"
    if placed is not None and placed.moving:
        return _coming_up(placed)
    if state.waiting is not None:
        return "PodWaits", state.waiting
    if state.ready:
        return "RollingOut", "its pods are being replaced"
    return "Starting", "no pod of it is ready yet"


def _coming_up(placed: Placed) -> Said:
    """Of the pods of a surge, beside those that serve."""
    name, trouble = placed.desired["metadata"]["name"], placed.target.waiting
    if placed.ask:
        return "Surging", f"{name} serves, and is asked a question before requests go there"
    if trouble is not None:
        return "PodWaits", f"{name} comes up beside the one that serves: {trouble}"
    return "Surging", f"{name} comes up beside the one that serves"


def _with_serving(status: AgentStatus, served: Served) -> AgentStatus:
    state, placed = served.state, served.placed
    update: dict[str, Any] = {
        "ready": state.ready,
        "url": served.stop.url,
        "awareness": str(served.stop.awareness),
        "workload": served.workload,
    }
    if status.run is not None and not state.ready and state.waiting is not None and status.message != state.waiting:
        update["message"] = f"{status.message}; meanwhile it does not serve: {state.waiting}"
    failure = state.failure or (placed.target.failure if placed is not None else None)
    if failure is not None:
        update |= {"phase": Phase.SERVING_FAILED, "reason": failure[0], "message": failure[1]}
    return status.model_copy(update=update)


def _serving(state: Serving, placed: Placed | None) -> Verdict:
    type_ = AgentConditionType.SERVING
    if not state.ready:
        return type_, "False", *(state.failure or _pending(state, None))
    if placed is not None and placed.moving:
        return type_, "True", *_pending(placed.target, placed)
    if state.cold:
        return type_, "True", *_COLD
    return (type_, "True", "Serving", "its pods serve") if state.replaced else (type_, "True", *_pending(state, None))


def _trained(life: Life) -> Verdict:
    state, type_ = life.progress, AgentConditionType.TRAINED
    if life.pinned is None and life.served == life.config.run:
        return type_, "True", "Promoted", f"the weights of run {life.config.run} are what it should serve"
    return type_, "False", state.reason, state.message


def _with_conditions(view: View, status: AgentStatus, verdicts: list[Verdict]) -> AgentStatus:
    before = view.before.get(status.name)
    old: tuple[Condition, ...] = before.conditions if before is not None else ()
    found = conditions(verdicts, old, view.cascade.generation, view.now)
    return status.model_copy(update={"conditions": found})
