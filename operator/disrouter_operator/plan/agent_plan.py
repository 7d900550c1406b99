"""One agent in one reconcile: what it should run, how it may be routed, and what its status says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from disrouter import names
from disrouter.api import Agent, AgentStatus, Phase, SelfAwareness, Untrained
from disrouter.routes import Awareness
from disrouter_operator.kube.observed import label
from disrouter_operator.kube.resources import DEPLOYMENTS, INFERENCE_SERVICES, Object, reference
from disrouter_operator.manifests.cascade import COMPONENT_AGENT
from disrouter_operator.manifests.serving import inference_service, service
from disrouter_operator.manifests.serving.sidecar_container import Provider
from disrouter_operator.plan import agent_status, image_pinning, rollout, scaled_pods, workload_health
from disrouter_operator.plan.agent_status import Served
from disrouter_operator.plan.context import Context
from disrouter_operator.plan.image_pinning import Candidates
from disrouter_operator.plan.referred import referred_service
from disrouter_operator.plan.referred.referred_service import ReferredService
from disrouter_operator.plan.rollout import Placement
from disrouter_operator.plan.route_table import RouteEntry
from disrouter_operator.plan.training import decision, gate
from disrouter_operator.plan.training.decision import TrainingDecision
from disrouter_operator.plan.workload_health import WorkloadHealth
from disrouter_operator.smoke_probe import SmokeProbe


@dataclass(frozen=True)
class AgentPlan:
    """Decisions on one agent. `entry` is None while it is held out of the route table."""

    status: AgentStatus
    entry: RouteEntry | None
    workload: tuple[Object, ...] = ()
    """Objects to apply."""
    scales: tuple[Object, ...] = ()
    """Scales to write."""
    selector: tuple[tuple[str, str], ...] = ()
    """Labels of the pods that its requests go to."""
    kept: tuple[str, ...] = ()
    """InferenceServices that stay as they are: requests still go there."""
    probe: SmokeProbe | None = None
    """To be asked before requests go to its new pods."""
    training: TrainingDecision | None = None
    """Of an agent in mode trained."""
    cold: bool = False
    """Scaled to zero: in the route table, and passed over until it is up."""
    waking: float | None = None
    """The same, and its first pod is on its way: seconds that are left for that."""
    since: datetime | None = None
    """Since when it serves without a break; None where nobody knows."""
    again: float | None = None
    """Seconds after which time alone changes something."""

    @property
    def to_train(self) -> bool:
        """Its training should end in a promotion."""
        return self.training is not None and self.training.pinned is None

    @property
    def trained(self) -> bool:
        """It serves the run that its inputs ask for."""
        served = self.training is not None and self.status.served_run == self.training.config.run
        return self.to_train and served and self.status.phase is not Phase.PROMOTING


def plan_agent(context: Context, index: int) -> AgentPlan:
    """Decide on the agent at `index`."""
    agent, awareness = context.cascade.spec.agents[index], context.cascade.spec.awareness(index)
    if agent.service_ref is not None:
        referred = referred_service.look(context.observed, agent.service_ref, f"spec.agents[{index}].serviceRef")
        return _served_elsewhere(context, agent, awareness, referred)
    if agent.external is not None:
        return _served_elsewhere(context, agent, awareness, ReferredService(Provider.of(agent.external)))
    if awareness.mode is not Awareness.TRAINED:
        return _untrained(context, agent, awareness)
    return _trained(context, agent)


def _served_elsewhere(context: Context, agent: Agent, awareness: SelfAwareness, referred: ReferredService) -> AgentPlan:
    """A sidecar of ours alone, in front of a provider or of another's service. While its address is not known, what
    runs is left as it is."""
    cascade, name = context.cascade, context.cascade.agent_object(agent.name)
    live = context.observed.find(DEPLOYMENTS, name)
    deployment = _sidecar_alone(context, agent, referred.provider, live) if referred.provider is not None else live
    entry = RouteEntry(service.of_agent(cascade, agent, name, None, context.settings), awareness.mode)
    state = WorkloadHealth()
    if deployment is not None:
        state = workload_health.of_deployment(context, deployment, agent)
    ready = state.ready and not referred.judged_away
    state = replace(state, ready=ready, failure=referred.failure, trouble=referred.trouble or state.trouble)
    served = Served(state, entry, f"{DEPLOYMENTS.kind}/{name}")
    return AgentPlan(
        status=agent_status.of_serving(context, agent, served),
        entry=entry,
        workload=(
            *([deployment] if deployment is not None else []),
            inference_service.deployment_service(cascade, agent),
        ),
        selector=tuple(cascade.labels(COMPONENT_AGENT, agent.name).items()),
        cold=state.cold,
        waking=state.waking,
        since=state.since,
    )


def _sidecar_alone(context: Context, agent: Agent, provider: Provider, live: Object | None) -> Object:
    """With the image of the installation, or with the one that it keeps."""
    images = image_pinning.images([live] if live is not None else [], context.settings)
    built = {image: inference_service.deployment(context.cascade, agent, provider, image, live) for image in images}
    return Candidates(built).pinned(live)


def _untrained(context: Context, agent: Agent, awareness: SelfAwareness) -> AgentPlan:
    placement = rollout.place(context, agent, _candidates(context, agent, None))
    entry = RouteEntry(_url(context, agent, placement), awareness.mode)
    status = agent_status.of_serving(context, agent, _served(placement, entry))
    return _with_workload(context, agent, AgentPlan(status, entry), placement)


def _trained(context: Context, agent: Agent) -> AgentPlan:
    training = decision.decide(context, agent)
    if training.served is None and training.pinned is None and _held(agent):
        status = agent_status.of_training(context, agent, training, None)
        return AgentPlan(status, None, training=training, again=training.progress.again)
    placement = rollout.place(context, agent, _candidates(context, agent, training.served))
    run = decision.mounted_run(context, agent, placement.routed) if placement.moving else training.served
    awareness = _decides(run, placement, context.before.get(agent.name))
    entry = RouteEntry(_url(context, agent, placement), awareness, gate.promotion(training.history, run))
    status = agent_status.of_training(context, agent, training, _served(placement, entry))
    plan = AgentPlan(status, entry, training=training, again=training.progress.again)
    return _with_workload(context, agent, plan, placement)


def _candidates(context: Context, agent: Agent, run: str | None) -> Candidates:
    """The agent's InferenceService with each sidecar image that it may have."""
    lives = context.observed.children[INFERENCE_SERVICES].values()
    own = [live for live in lives if label(live, names.LABEL_AGENT) == agent.name]
    images = image_pinning.images(own, context.settings)
    return Candidates(
        {image: inference_service.inference_service(context.cascade, agent, run, image) for image in images}
    )


def _served(placement: Placement, entry: RouteEntry) -> Served:
    return Served(placement.state, entry, reference(placement.routed), placement)


def _with_workload(context: Context, agent: Agent, plan: AgentPlan, placement: Placement) -> AgentPlan:
    """The same plan with what runs the agent, and what says how many pods that has."""
    scaled = scaled_pods.of_placement(context, agent, placement)
    labels = placement.routed["metadata"]["labels"]
    ours = (names.LABEL_CASCADE, names.LABEL_COMPONENT, names.LABEL_AGENT, names.LABEL_WORKLOAD)
    return replace(
        plan,
        workload=(placement.desired, *scaled.autoscalers),
        scales=scaled.scales,
        selector=tuple((name, labels[name]) for name in ours if name in labels),
        kept=placement.kept,
        probe=placement.probe,
        cold=placement.state.cold,
        waking=placement.state.waking,
        since=placement.state.since,
    )


def _held(agent: Agent) -> bool:
    """Whether it stays out of the route, and costs no GPU, until its first weights are there."""
    return agent.self_awareness is not None and agent.self_awareness.untrained is Untrained.HOLD


def _url(context: Context, agent: Agent, placement: Placement) -> str:
    name = placement.routed["metadata"]["name"]
    return service.of_agent(context.cascade, agent, name, placement.state.url, context.settings)


def _decides(run: str | None, placement: Placement, before: AgentStatus | None) -> Awareness:
    """`trained` only once no pod serves the base model any more. `run` is what those it is routed to serve."""
    if run is None:
        return Awareness.PROMPTED
    if placement.moving:
        return Awareness.TRAINED
    already = before is not None and before.awareness == Awareness.TRAINED
    done = placement.state.rolled_out or not placement.state.exists
    return Awareness.TRAINED if already or done else Awareness.PROMPTED
