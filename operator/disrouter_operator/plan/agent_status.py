"""What `status.agents[]` says of an agent: one phase for the eye, two conditions for what goes on side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from disrouter.api import Agent, AgentConditionType, AgentStatus, Condition, Phase
from disrouter_operator.kube.resources import reference, resource_of
from disrouter_operator.manifests.training.runs import STAGE_KINDS
from disrouter_operator.plan.context import Context
from disrouter_operator.plan.rollout import Placement
from disrouter_operator.plan.route_table import RouteEntry
from disrouter_operator.plan.training import observed_jobs
from disrouter_operator.plan.training.decision import TrainingDecision
from disrouter_operator.plan.workload_health import WorkloadHealth
from disrouter_operator.status.conditions import SCALED_TO_ZERO, TELLING, WAKING, Verdict, conditions

Said = tuple[str, str]
"""Reason and message."""


@dataclass(frozen=True)
class Served:
    """How an agent is served."""

    state: WorkloadHealth
    entry: RouteEntry
    workload: str
    """`<kind>/<name>` of what its requests go to."""
    placement: Placement | None = None
    """Of an InferenceService."""


_COLD = (SCALED_TO_ZERO, "it has no pods; agents before it pass over it until it is up")
_WAKING = (WAKING, "its first pod starts; agents before it pass over it until that serves")
_SETTLED = (Phase.READY, Phase.PENDING, Phase.SERVING_FAILED)
"""Phases of an agent whose weights were rolled out before."""


def of_serving(context: Context, agent: Agent, served: Served) -> AgentStatus:
    """An agent that is not trained: served elsewhere, prompted, or the last one. Promotions are remembered."""
    before, state, placement = context.before.get(agent.name), served.state, served.placement
    done = state.ready and state.replaced and (placement is None or not placement.moving)
    reason, message = (_cold(state) or (None, None)) if done else _pending(state, placement)
    status = AgentStatus(
        name=agent.name,
        phase=Phase.READY if done else Phase.PENDING,
        reason=reason,
        message=message,
        history=before.history if before is not None else (),
    )
    return _with_conditions(context, _with_serving(status, served), [_serving(state, placement)])


def of_training(context: Context, agent: Agent, training: TrainingDecision, served: Served | None) -> AgentStatus:
    """An agent in mode trained; `served` is None while it is held out of the route."""
    before = context.before.get(agent.name)
    status = _training_status(agent, training, before)
    if served is None or served.placement is None:
        return _with_conditions(context, status, [_trained(training)])
    if training.settled:
        status = status.model_copy(update=_rollout(training, served.placement, before))
    status = _with_serving(status, served)
    return _with_conditions(context, status, [_serving(served.state, served.placement), _trained(training)])


def leaving(name: str, since: str, drain_seconds: int) -> AgentStatus:
    """An agent that left the spec and is drained."""
    message = f"left the route table at {since}; deleted {drain_seconds} s later"
    return AgentStatus(name=name, phase=Phase.DRAINING, reason="Removed", message=message, draining_since=since)


def _training_status(agent: Agent, training: TrainingDecision, before: AgentStatus | None) -> AgentStatus:
    state = training.progress
    known = state if state.evaluation is not None else before
    return AgentStatus(
        name=agent.name,
        phase=state.phase,
        reason=state.reason,
        message=state.message,
        run=training.config.run,
        served_run=training.served,
        evaluation=known.evaluation if known is not None else None,
        compared_with=known.compared_with if known is not None else None,
        stage=state.stage,
        job=_job(training),
        attempts=state.attempts or None,
        failed_job=state.failed_job,
        retry_at=state.retry_at,
        revision=training.pinned,
        history=training.history,
    )


def _job(training: TrainingDecision) -> str | None:
    """What works on the stage, or is about to be made for it."""
    if training.progress.job is not None:
        return None if observed_jobs.complete(training.progress.job) else reference(training.progress.job)
    return next((reference(obj) for obj in training.jobs if resource_of(obj) in STAGE_KINDS), None)


def _rollout(training: TrainingDecision, placement: Placement, before: AgentStatus | None) -> dict[str, object]:
    """Phase of an agent that should serve its newest run, or the one it is rolled back to, until its pods do."""
    settled = before is not None and before.served_run == training.served and before.phase in _SETTLED
    state = placement.target
    there = state.rolled_out or (settled and state.ready and state.replaced)
    if there and not placement.moving:
        if training.pinned is not None:
            return {"phase": Phase.READY, "reason": "RolledBack", "message": training.progress.message}
        return {"phase": Phase.READY, "reason": "Promoted", "message": f"run {training.config.run} is served"}
    reason, message = _pending(state, placement)
    if placement.complaint is not None:
        return {"phase": Phase.PROMOTING_FAILED, "reason": reason, "message": message}
    return {"phase": Phase.PENDING if settled else Phase.PROMOTING, "reason": reason, "message": message}


def _cold(state: WorkloadHealth) -> Said | None:
    """Of an agent without pods, where that is as it should be."""
    if not state.cold:
        return None
    return _COLD if state.waking is None else _WAKING


def _pending(state: WorkloadHealth, placement: Placement | None) -> Said:
    if placement is not None and placement.complaint is not None:
        name = placement.desired["metadata"]["name"]
        return "SmokeFailed", f"{name} serves but did not answer a question, so it gets none: {placement.complaint}"
    if placement is not None and placement.moving:
        return _coming_up(placement)
    trouble = state.trouble
    if trouble is not None and trouble[0] in TELLING:
        return trouble
    if state.ready:
        return "RollingOut", "its pods are being replaced"
    return "Starting", f"no pod of it is ready yet{f': {trouble[1]}' if trouble is not None else ''}"


def _coming_up(placement: Placement) -> Said:
    """Of the pods of a surge, beside those that serve."""
    name, trouble = placement.desired["metadata"]["name"], placement.target.trouble
    if placement.probe is not None:
        return "Surging", f"{name} serves, and is asked a question before requests go there"
    if trouble is not None and trouble[0] in TELLING:
        return trouble[0], f"{name} comes up beside the one that serves: {trouble[1]}"
    return "Surging", f"{name} comes up beside the one that serves"


def _with_serving(status: AgentStatus, served: Served) -> AgentStatus:
    state, placement = served.state, served.placement
    update: dict[str, Any] = {
        "ready": state.ready,
        "url": served.entry.url,
        "awareness": str(served.entry.awareness),
        "workload": served.workload,
    }
    trouble = state.trouble[1] if state.trouble is not None else None
    if status.run is not None and not state.ready and trouble is not None and status.message != trouble:
        update["message"] = f"{status.message}; meanwhile it does not serve: {trouble}"
    failure = state.failure or (placement.target.failure if placement is not None else None)
    if failure is not None:
        update |= {"phase": Phase.SERVING_FAILED, "reason": failure[0], "message": failure[1]}
    return status.model_copy(update=update)


def _serving(state: WorkloadHealth, placement: Placement | None) -> Verdict:
    type_ = AgentConditionType.SERVING
    if not state.ready:
        return type_, "False", *(state.failure or _pending(state, None))
    if placement is not None and placement.moving:
        return type_, "True", *_pending(placement.target, placement)
    if (cold := _cold(state)) is not None:
        return type_, "True", *cold
    if state.trouble is not None and state.trouble[0] in TELLING:
        return type_, "True", state.trouble[0], f"some pods serve; {state.trouble[1]}"
    return (type_, "True", "Serving", "its pods serve") if state.replaced else (type_, "True", *_pending(state, None))


def _trained(training: TrainingDecision) -> Verdict:
    state, type_ = training.progress, AgentConditionType.TRAINED
    if training.pinned is None and training.served == training.config.run:
        return type_, "True", "Promoted", f"the weights of run {training.config.run} are what it should serve"
    return type_, "False", state.reason, state.message


def _with_conditions(context: Context, status: AgentStatus, verdicts: list[Verdict]) -> AgentStatus:
    before = context.before.get(status.name)
    old: tuple[Condition, ...] = before.conditions if before is not None else ()
    found = conditions(verdicts, old, context.cascade.generation, context.now)
    return status.model_copy(update={"conditions": found})
