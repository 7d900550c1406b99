"""One agent in one pass: what it should run, how it may be routed, and what its status says."""

from __future__ import annotations

from dataclasses import dataclass, replace

from disrouter import names
from disrouter.api import Agent, AgentStatus, Phase, SelfAwareness, Untrained
from disrouter.routes import Awareness
from disrouter_operator.kube.resources import DEPLOYMENTS, INFERENCE_SERVICES, Object
from disrouter_operator.manifests.cascade import COMPONENT_AGENT
from disrouter_operator.manifests.serving import inference_service, service
from disrouter_operator.plan import agent_status, image_pinning, rollout, workload_health
from disrouter_operator.plan.agent_status import Served
from disrouter_operator.plan.context import View
from disrouter_operator.plan.rollout import Placed
from disrouter_operator.plan.route_table import Stop
from disrouter_operator.plan.training import decision, gate
from disrouter_operator.plan.training.decision import Life
from disrouter_operator.plan.workload_health import Serving
from disrouter_operator.smoke_probe import Question


@dataclass(frozen=True)
class AgentPlan:
    """Decisions on one agent. `stop` is None while it is held out of the route table."""

    status: AgentStatus
    stop: Stop | None
    workload: tuple[Object, ...] = ()
    """Objects to apply."""
    selector: tuple[tuple[str, str], ...] = ()
    """Labels of the pods that its requests go to."""
    kept: tuple[str, ...] = ()
    """InferenceServices that stay as they are: requests still go there."""
    question: Question | None = None
    """To be asked before requests go to its new pods."""
    life: Life | None = None
    """Of an agent in mode trained."""
    cold: bool = False
    """Scaled to zero: in the route table, and passed over until it is up."""
    again: float | None = None
    """Seconds after which time alone changes something."""

    @property
    def to_train(self) -> bool:
        """Its training should end in a promotion."""
        return self.life is not None and self.life.pinned is None

    @property
    def trained(self) -> bool:
        """It serves the run that its inputs ask for."""
        served = self.life is not None and self.status.served_run == self.life.config.run
        return self.to_train and served and self.status.phase is not Phase.PROMOTING


def plan_agent(view: View, index: int) -> AgentPlan:
    """Decide on the agent at `index`."""
    agent, awareness = view.cascade.spec.agents[index], view.cascade.spec.awareness(index)
    if agent.external is not None:
        return _external(view, agent, awareness)
    if awareness.mode is not Awareness.TRAINED:
        return _untrained(view, agent, awareness)
    return _trained(view, agent)


def _external(view: View, agent: Agent, awareness: SelfAwareness) -> AgentPlan:
    cascade, name = view.cascade, view.cascade.agent_object(agent.name)
    live = view.observed.find(DEPLOYMENTS, name)
    deployment = image_pinning.workload(
        lambda image: inference_service.external(cascade, agent, image, live), live, view.settings
    )
    state = workload_health.of_external(view.observed, deployment, agent)
    stop = Stop(service.of_agent(cascade, agent, name, None, view.settings), awareness.mode)
    return AgentPlan(
        status=agent_status.of_serving(view, agent, Served(state, stop, rollout.reference(deployment))),
        stop=stop,
        workload=(deployment, inference_service.external_service(cascade, agent)),
        selector=tuple(cascade.labels(COMPONENT_AGENT, agent.name).items()),
        cold=state.cold,
    )


def _untrained(view: View, agent: Agent, awareness: SelfAwareness) -> AgentPlan:
    placed = _placed(view, agent, None)
    stop = Stop(_url(view, agent, placed.routed, placed.state), awareness.mode)
    served = Served(placed.state, stop, rollout.reference(placed.routed), placed)
    status = agent_status.of_serving(view, agent, served)
    return _with_workload(AgentPlan(status, stop), view, agent, placed)


def _trained(view: View, agent: Agent) -> AgentPlan:
    life = decision.live(view, agent)
    if life.served is None and life.pinned is None and _held(agent):
        status = agent_status.of_training(view, agent, life, None)
        return AgentPlan(status, None, life=life, again=life.progress.again)
    placed = _placed(view, agent, life.served)
    run = decision.mounted_run(view, agent, placed.routed) if placed.moving else life.served
    awareness = _decides(run, placed, view.before.get(agent.name))
    stop = Stop(_url(view, agent, placed.routed, placed.state), awareness, gate.promotion(life.history, run))
    served = Served(placed.state, stop, rollout.reference(placed.routed), placed)
    status = agent_status.of_training(view, agent, life, served)
    plan = AgentPlan(status, stop, life=life, again=life.progress.again)
    return _with_workload(plan, view, agent, placed)


def _placed(view: View, agent: Agent, run: str | None) -> Placed:
    def build(name: str) -> Object:
        live = view.observed.find(INFERENCE_SERVICES, name)
        return image_pinning.workload(lambda image: _named(view, agent, run, image, name), live, view.settings)

    return rollout.place(view, agent, build)


def _named(view: View, agent: Agent, run: str | None, image: str, name: str) -> Object:
    manifest = inference_service.inference_service(view.cascade, agent, run, image)
    manifest["metadata"]["name"] = name
    manifest["metadata"]["labels"][names.LABEL_WORKLOAD] = name
    return manifest


def _with_workload(plan: AgentPlan, view: View, agent: Agent, placed: Placed) -> AgentPlan:
    """The same plan with what runs the agent."""
    labels = placed.routed["metadata"]["labels"]
    ours = (names.LABEL_CASCADE, names.LABEL_COMPONENT, names.LABEL_AGENT, names.LABEL_WORKLOAD)
    question = None
    if placed.ask:
        url = _url(view, agent, placed.desired, placed.target)
        question = Question(placed.desired["metadata"]["name"], url, f"{view.cascade.name}/{plan.status.name}")
    return replace(
        plan,
        workload=(placed.desired,),
        selector=tuple((name, labels[name]) for name in ours if name in labels),
        kept=placed.kept,
        question=question,
        cold=placed.state.cold,
    )


def _held(agent: Agent) -> bool:
    """Whether it stays out of the route, and costs no GPU, until its first weights are there."""
    return agent.self_awareness is not None and agent.self_awareness.untrained is Untrained.HOLD


def _url(view: View, agent: Agent, workload: Object, state: Serving) -> str:
    return service.of_agent(view.cascade, agent, workload["metadata"]["name"], state.url, view.settings)


def _decides(run: str | None, placed: Placed, before: AgentStatus | None) -> Awareness:
    """`trained` only once no pod serves the base model any more. `run` is what those it is routed to serve."""
    if run is None:
        return Awareness.PROMPTED
    if placed.moving:
        return Awareness.TRAINED
    already = before is not None and before.awareness == Awareness.TRAINED
    done = placed.state.rolled_out or not placed.state.exists
    return Awareness.TRAINED if already or done else Awareness.PROMPTED
