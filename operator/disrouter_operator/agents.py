"""One agent in one pass: what it should run, how it may be routed, and what its status says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from disrouter.api import Agent, AgentStatus, Phase, SelfAwareness, Untrained
from disrouter.artifacts import RunConfig, Stage
from disrouter.routes import Awareness
from disrouter_operator import endpoint, inference, keeping, progress, serving, training
from disrouter_operator.cascade import Cascade
from disrouter_operator.containers import ENGINE, MODELS_MOUNT
from disrouter_operator.observe import Observed
from disrouter_operator.progress import Progress
from disrouter_operator.resources import DEPLOYMENTS, INFERENCE_SERVICES, Object
from disrouter_operator.routing import Stop
from disrouter_operator.serving import Serving
from disrouter_operator.settings import Settings

_SETTLED = (Phase.READY, Phase.PENDING, Phase.SERVING_FAILED)
"""Phases of an agent whose weights were rolled out before."""


_COLD = ("ScaledToZero", "it has no pods; agents before it pass over it until it is up")


@dataclass(frozen=True)
class AgentPlan:
    """Decisions on one agent. `stop` is None while it is held out of the route table."""

    status: AgentStatus
    stop: Stop | None
    workload: tuple[Object, ...]
    jobs: tuple[Object, ...] = ()
    run: str | None = None
    """The run whose Jobs may exist."""
    repeat: Object | None = None
    cold: bool = False
    """Scaled to zero: in the route table, and passed over until it is up."""

    @property
    def trained(self) -> bool:
        """It serves the run that its inputs ask for."""
        return self.run is not None and self.status.served_run == self.run and self.status.phase is not Phase.PROMOTING


def plan_agent(
    cascade: Cascade, index: int, observed: Observed, before: AgentStatus | None, settings: Settings
) -> AgentPlan:
    """Decide on the agent at `index`; `before` is its status after the last pass."""
    agent, awareness = cascade.spec.agents[index], cascade.spec.awareness(index)
    if agent.external is not None:
        return _external(cascade, agent, awareness, observed, settings)
    if awareness.mode is not Awareness.TRAINED:
        return _untrained(cascade, agent, awareness, observed, settings)
    return _trained(cascade, agent, observed, before, settings)


def _external(
    cascade: Cascade, agent: Agent, awareness: SelfAwareness, observed: Observed, settings: Settings
) -> AgentPlan:
    live = observed.find(DEPLOYMENTS, cascade.agent_object(agent.name))
    deployment = keeping.workload(lambda image: inference.external(cascade, agent, image, live), live, settings)
    workload = (deployment, inference.external_service(cascade, agent))
    state = serving.of_external(observed, deployment, agent)
    stop = Stop(endpoint.of_agent(cascade, agent, None, settings), awareness.mode)
    return AgentPlan(_serving_status(agent, state, stop), stop, workload, cold=state.cold)


def _untrained(
    cascade: Cascade, agent: Agent, awareness: SelfAwareness, observed: Observed, settings: Settings
) -> AgentPlan:
    workload = _inference_service(cascade, agent, None, observed, settings)
    state = serving.of_inference_service(observed, workload, cascade, agent)
    stop = Stop(endpoint.of_agent(cascade, agent, state.url, settings), awareness.mode)
    return AgentPlan(_serving_status(agent, state, stop), stop, (workload,), cold=state.cold)


def _trained(
    cascade: Cascade, agent: Agent, observed: Observed, before: AgentStatus | None, settings: Settings
) -> AgentPlan:
    config = keeping.run_config(cascade, agent, observed, settings)
    served = (before.served_run if before is not None else None) or _mounted_run(cascade, agent, observed)
    assert cascade.spec.training is not None, "the rules demand spec.training where an agent is trained"
    gate = cascade.spec.training.gate.min_utility_gain
    state_of_run = progress.of_run(config, observed, before, served, gate)
    served = config.run if state_of_run.passed else served
    jobs = _jobs(cascade, config, state_of_run.stage, served)
    if served is None and _held(agent):
        status = _training_status(agent, config, state_of_run, before, None)
        return AgentPlan(status, None, (), jobs, config.run, state_of_run.repeat)
    workload = _inference_service(cascade, agent, served, observed, settings)
    state = serving.of_inference_service(observed, workload, cascade, agent)
    status = _training_status(agent, config, state_of_run, before, served)
    evaluated = status.evaluation if status.evaluation is not None and status.evaluation.run == served else None
    stop = Stop(
        endpoint.of_agent(cascade, agent, state.url, settings),
        _decides(served, state, before),
        evaluated.calibration if evaluated is not None else None,
    )
    if served == config.run:
        status = status.model_copy(update=_rollout(config, state, before))
    status = _with_serving(status, state, stop)
    return AgentPlan(status, stop, (workload,), jobs, config.run, state_of_run.repeat, state.cold)


def _inference_service(
    cascade: Cascade, agent: Agent, run: str | None, observed: Observed, settings: Settings
) -> Object:
    live = observed.find(INFERENCE_SERVICES, cascade.agent_object(agent.name))
    return keeping.workload(lambda image: inference.inference_service(cascade, agent, run, image), live, settings)


def _held(agent: Agent) -> bool:
    """Whether it stays out of the route, and costs no GPU, until its first weights are there."""
    return agent.self_awareness is not None and agent.self_awareness.untrained is Untrained.HOLD


def _jobs(cascade: Cascade, config: RunConfig, stage: Stage | None, served: str | None) -> tuple[Object, ...]:
    if stage is None:
        return ()
    return training.run_config_map(cascade, config), training.job(cascade, config, stage, served)


def _decides(served: str | None, state: Serving, before: AgentStatus | None) -> Awareness:
    """`trained` only once no pod serves the base model any more."""
    if served is None:
        return Awareness.PROMPTED
    already = before is not None and before.awareness == Awareness.TRAINED
    return Awareness.TRAINED if already or state.rolled_out or not state.exists else Awareness.PROMPTED


def _mounted_run(cascade: Cascade, agent: Agent, observed: Observed) -> str | None:
    """The run that the live InferenceService mounts: the truth if the status was lost."""
    live = observed.find(INFERENCE_SERVICES, cascade.agent_object(agent.name))
    if live is None or agent.model is None:
        return None
    prefix = f"{cascade.name}/{agent.name}/"
    for container in live["spec"]["predictor"].get("containers") or []:
        for mount in container.get("volumeMounts") or [] if container.get("name") == ENGINE else []:
            path = str(mount.get("subPath") or "")
            run, _, rest = path.removeprefix(prefix).partition("/")
            ours = mount.get("mountPath") == MODELS_MOUNT and path.startswith(prefix)
            if ours and rest == f"{Stage.RL}/weights":
                return run
    return None


def _serving_status(agent: Agent, state: Serving, stop: Stop) -> AgentStatus:
    phase = Phase.READY if state.ready and state.replaced else Phase.PENDING
    reason, message = _pending(state) if phase is Phase.PENDING else _COLD if state.cold else (None, None)
    return _with_serving(AgentStatus(name=agent.name, phase=phase, reason=reason, message=message), state, stop)


def _training_status(
    agent: Agent, config: RunConfig, state: Progress, before: AgentStatus | None, served: str | None
) -> AgentStatus:
    evaluation = state.evaluation or (before.evaluation if before is not None else None)
    return AgentStatus(
        name=agent.name,
        phase=state.phase,
        reason=state.reason,
        message=state.message,
        run=config.run,
        served_run=served,
        evaluation=evaluation,
    )


def _rollout(config: RunConfig, state: Serving, before: AgentStatus | None) -> dict[str, object]:
    """Phase of an agent that should serve its newest run: promoting, until its pods do."""
    settled = before is not None and before.served_run == config.run and before.phase in _SETTLED
    if state.rolled_out or (settled and state.ready and state.replaced):
        return {"phase": Phase.READY, "reason": "Promoted", "message": f"run {config.run} is served"}
    reason, message = _pending(state)
    return {"phase": Phase.PENDING if settled else Phase.PROMOTING, "reason": reason, "message": message}


def _pending(state: Serving) -> tuple[str, str]:
    if state.waiting is not None:
        return "PodWaits", state.waiting
    if state.ready:
        return "RollingOut", "its pods are being replaced"
    return "Starting", "no pod of it is ready yet"


def _with_serving(status: AgentStatus, state: Serving, stop: Stop) -> AgentStatus:
    update: dict[str, object] = {"ready": state.ready, "url": stop.url, "awareness": str(stop.awareness)}
    if status.run is not None and not state.ready and state.waiting is not None and status.message != state.waiting:
        update["message"] = f"{status.message}; meanwhile it does not serve: {state.waiting}"
    if state.failure is not None:
        reason, message = state.failure
        update |= {"phase": Phase.SERVING_FAILED, "reason": reason, "message": message}
    return status.model_copy(update=update)


def leaving(name: str, since: str, drain_seconds: int) -> AgentStatus:
    """Status of an agent that left the spec and is drained."""
    message = f"left the route table at {since}; deleted {drain_seconds} s later"
    return AgentStatus(name=name, phase=Phase.DRAINING, reason="Removed", message=message, draining_since=since)


def by_name(agents: Sequence[AgentStatus]) -> dict[str, AgentStatus]:
    """Agents' states of the last pass."""
    return {agent.name: agent for agent in agents}
