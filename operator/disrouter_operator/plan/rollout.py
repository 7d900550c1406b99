"""How a changed agent replaces its pods: in place, or as a second InferenceService beside the one that serves.

`recreate` (and Knative, which keeps revisions of its own) changes the one InferenceService. `surge` brings the changed
one up under a name of its own; the route table moves to it once all its pods serve and it has answered a question, and
the old one drains as a removed agent does. Where an autoscaler took its pods it is asked nothing, and waits as long as
the old one has some. Nothing of this is remembered but which one is routed to: names come from the pods' content, so a
reconcile after a crash finds its place again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from disrouter import names
from disrouter.api import Agent, AgentStatus, DeploymentMode, Rollout
from disrouter_operator.kube.observed import Observed, is_terminating, label
from disrouter_operator.kube.resources import INFERENCE_SERVICES, Object, reference
from disrouter_operator.manifests.cascade import COMPONENT_AGENT, Cascade
from disrouter_operator.manifests.serving import inference_service, service
from disrouter_operator.plan import workload_health
from disrouter_operator.plan.context import Context
from disrouter_operator.plan.image_pinning import Candidates
from disrouter_operator.plan.workload_health import WorkloadHealth
from disrouter_operator.smoke_probe import SmokeProbe


@dataclass(frozen=True)
class Placement:
    """Where an agent's InferenceService stands."""

    desired: Object
    """To be applied."""
    routed: Object
    """Whom requests go to: `desired`, or the one before it while that comes up."""
    target: WorkloadHealth
    """State of `desired`."""
    state: WorkloadHealth
    """State of `routed`."""
    kept: tuple[str, ...] = ()
    """Names that are served besides `desired`."""
    probe: SmokeProbe | None = None
    """What `desired` is asked, now that it serves, before it is routed to."""
    complaint: str | None = None
    """What was wrong with its answer."""

    @property
    def moving(self) -> bool:
        """Requests still go to the one before it."""
        return bool(self.kept)


def place(context: Context, agent: Agent, candidates: Candidates) -> Placement:
    """Decide under which name the wanted InferenceService stands, and who is routed to."""
    lives = living(context.observed, agent.name)
    routed = _routed(lives, context.before.get(agent.name))
    desired = _desired(context, agent, candidates, lives, routed)
    target = workload_health.of_inference_service(context, desired, agent)
    if routed is None or routed["metadata"]["name"] == desired["metadata"]["name"]:
        return Placement(desired, desired, target, target)
    state = workload_health.of_inference_service(context, routed, agent)
    return _beside_routed(context, agent, Placement(desired, routed, target, state, (routed["metadata"]["name"],)))


def living(observed: Observed, agent: str) -> list[Object]:
    """The agent's InferenceServices that are not being deleted, oldest first."""
    found = [
        obj
        for obj in observed.owned(INFERENCE_SERVICES)
        if label(obj, names.LABEL_AGENT) == agent
        and label(obj, names.LABEL_COMPONENT) == COMPONENT_AGENT
        and not is_terminating(obj)
    ]
    return sorted(found, key=lambda obj: (str(obj["metadata"].get("creationTimestamp", "")), obj["metadata"]["name"]))


def _desired(
    context: Context, agent: Agent, candidates: Candidates, lives: list[Object], routed: Object | None
) -> Object:
    """The wanted InferenceService under the name of the routed one, or of one beside it where a surge replaces it."""
    name = context.cascade.agent_object(agent.name) if routed is None else routed["metadata"]["name"]
    desired = _named(candidates, context.observed, name)
    revision = inference_service.revision(desired)
    if routed is None or not _surges(context.cascade) or inference_service.revision(routed) == revision:
        return desired
    same = next((live for live in lives if inference_service.revision(live) == revision), None)
    beside = _beside(context.cascade, agent, revision) if same is None else same["metadata"]["name"]
    return _named(candidates, context.observed, beside)


def _named(candidates: Candidates, observed: Observed, name: str) -> Object:
    manifest = candidates.pinned(observed.find(INFERENCE_SERVICES, name))
    metadata = manifest["metadata"]
    labels = {**metadata["labels"], names.LABEL_WORKLOAD: name}
    return {**manifest, "metadata": {**metadata, "name": name, "labels": labels}}


def _beside_routed(context: Context, agent: Agent, placement: Placement) -> Placement:
    """Whether requests move to the one that came up beside the routed one."""
    target, state = placement.target, placement.state
    moved = replace(placement, routed=placement.desired, state=target, kept=())
    if not target.rolled_out or (target.cold and not state.cold):
        return placement
    if target.cold or context.settings.smoke is None:  # cold: nobody serves, so nobody can answer, and nothing is lost
        return moved
    probe = _probe(context, agent, placement)
    if probe not in context.observed.answers:
        return replace(placement, probe=probe)
    complaint = context.observed.answers[probe]
    return replace(placement if complaint else moved, probe=probe, complaint=complaint)


def _probe(context: Context, agent: Agent, placement: Placement) -> SmokeProbe:
    name = placement.desired["metadata"]["name"]
    url = service.of_agent(context.cascade, agent, name, placement.target.url, context.settings)
    return SmokeProbe(name, url, f"{context.cascade.name}/{agent.name}")


def _routed(lives: list[Object], before: AgentStatus | None) -> Object | None:
    """Whom the last reconcile routed to; the oldest if that is not known any more."""
    known = before.workload if before is not None else None
    return next((live for live in lives if reference(live) == known), lives[0] if lives else None)


def _surges(cascade: Cascade) -> bool:
    return cascade.spec.rollout is Rollout.SURGE and cascade.spec.deployment_mode is DeploymentMode.STANDARD


def _beside(cascade: Cascade, agent: Agent, revision: str) -> str:
    return names.agent_object(cascade.namespace, cascade.name, agent.name, revision)
