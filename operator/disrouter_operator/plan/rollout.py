"""How a changed agent replaces its pods: in place, or as a second InferenceService beside the one that serves.

`recreate` (and Knative, which keeps revisions of its own) changes the one InferenceService. `surge` brings the changed
one up under a name of its own; the route table moves to it once all its pods serve and it has answered a question, and
the old one drains as a removed agent does. Where an autoscaler took its pods it is asked nothing, and waits as long as
the old one has some. Nothing of this is remembered but which one is routed to: names come from the pods' content, so a
pass after a crash finds its place again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from disrouter import names
from disrouter.api import Agent, AgentStatus, DeploymentMode, Rollout
from disrouter_operator.kube.observed import Observed, label
from disrouter_operator.kube.resources import INFERENCE_SERVICES, Object
from disrouter_operator.manifests.cascade import COMPONENT_AGENT, Cascade
from disrouter_operator.manifests.serving import inference_service
from disrouter_operator.plan import workload_health
from disrouter_operator.plan.context import View
from disrouter_operator.plan.workload_health import Serving
from disrouter_operator.smoke_probe import Answers

Build = Callable[[str], Object]
"""An InferenceService of a name."""


@dataclass(frozen=True)
class Placed:
    """Where an agent's InferenceService stands."""

    desired: Object
    """To be applied."""
    routed: Object
    """Whom requests go to: `desired`, or the one before it while that comes up."""
    target: Serving
    """State of `desired`."""
    state: Serving
    """State of `routed`."""
    kept: tuple[str, ...] = ()
    """Names that are served besides `desired`."""
    ask: bool = False
    """`desired` serves; it is routed to once it has answered a question."""
    complaint: str | None = None
    """What was wrong with its answer."""

    @property
    def moving(self) -> bool:
        """Requests still go to the one before it."""
        return bool(self.kept)


def place(view: View, agent: Agent, build: Build) -> Placed:
    """Decide under which name the wanted InferenceService stands, and who is routed to."""
    cascade, observed = view.cascade, view.observed
    lives = living(observed, agent.name)
    routed = _routed(lives, view.before.get(agent.name))
    plain = cascade.agent_object(agent.name)
    name = routed["metadata"]["name"] if routed is not None else plain
    desired = build(name)
    if (
        routed is not None
        and _surges(cascade)
        and inference_service.revision(routed) != inference_service.revision(desired)
    ):
        wanted = inference_service.revision(desired)
        same = next((live for live in lives if inference_service.revision(live) == wanted), None)
        desired = build(same["metadata"]["name"] if same is not None else _beside(cascade, agent, wanted))
    target = workload_health.of_inference_service(observed, desired, cascade, agent)
    if routed is None or routed["metadata"]["name"] == desired["metadata"]["name"]:
        return Placed(desired, desired, target, target)
    return _moved(
        desired, routed, target, workload_health.of_inference_service(observed, routed, cascade, agent), view.answers
    )


def living(observed: Observed, agent: str) -> list[Object]:
    """The agent's InferenceServices that are not being deleted, oldest first."""
    found = [
        obj
        for obj in observed.owned(INFERENCE_SERVICES)
        if label(obj, names.LABEL_AGENT) == agent
        and label(obj, names.LABEL_COMPONENT) == COMPONENT_AGENT
        and not obj["metadata"].get("deletionTimestamp")
    ]
    return sorted(found, key=lambda obj: (str(obj["metadata"].get("creationTimestamp", "")), obj["metadata"]["name"]))


def reference(workload: Object) -> str:
    """`<kind>/<name>`, as the status has it."""
    return f"{workload['kind']}/{workload['metadata']['name']}"


def _moved(desired: Object, routed: Object, target: Serving, state: Serving, answers: Answers) -> Placed:
    name = desired["metadata"]["name"]
    kept = (str(routed["metadata"]["name"]),)
    if not target.rolled_out or (target.cold and not state.cold):
        return Placed(desired, routed, target, state, kept)
    if target.cold:  # and so is the other: nobody serves, so there is nobody to ask, and nothing to lose
        return Placed(desired, desired, target, target)
    if name not in answers:
        return Placed(desired, routed, target, state, kept, ask=True)
    if answers[name] is not None:
        return Placed(desired, routed, target, state, kept, complaint=answers[name])
    return Placed(desired, desired, target, target)


def _routed(lives: list[Object], before: AgentStatus | None) -> Object | None:
    """Whom the last pass routed to; the oldest if that is not known any more."""
    known = before.workload if before is not None else None
    return next((live for live in lives if reference(live) == known), lives[0] if lives else None)


def _surges(cascade: Cascade) -> bool:
    return cascade.spec.rollout is Rollout.SURGE and cascade.spec.deployment_mode is DeploymentMode.STANDARD


def _beside(cascade: Cascade, agent: Agent, revision: str) -> str:
    return names.agent_object(cascade.namespace, cascade.name, agent.name, revision)
