"""How an agent's workload is doing, judged from what KServe, the Deployment controller and the kubelet report.

An InferenceService stays Ready on its old pods during a rollout, and its `observedGeneration` is its child's counter,
so a finished rollout is read from the Deployment's pod template instead (`inference_service.REVISION`). In Knative mode
that is the Deployment of the newest revision: KServe calls the old one newest until it has seen the change.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from disrouter import names
from disrouter.api import Agent, DeploymentMode
from disrouter_operator.kube.observed import Observed, condition, is_terminating, label
from disrouter_operator.kube.resources import DEPLOYMENTS, INFERENCE_SERVICES, PODS, Object
from disrouter_operator.kube.timestamps import moment, seconds_until
from disrouter_operator.manifests.cascade import COMPONENT_AGENT
from disrouter_operator.manifests.containers import ENGINE
from disrouter_operator.manifests.serving import scaling
from disrouter_operator.manifests.serving.engine_container import START_SECONDS
from disrouter_operator.manifests.serving.inference_service import REVISION, revision
from disrouter_operator.plan import ready_endpoints
from disrouter_operator.plan.context import Context
from disrouter_operator.plan.ready_endpoints import ReadyEndpoints
from disrouter_operator.status import pod_troubles
from disrouter_operator.status.conditions import KSERVE_MISSING
from disrouter_operator.status.conditions import cold as was_cold
from disrouter_operator.status.pod_troubles import Trouble

KNATIVE_REVISION = "serving.knative.dev/revision"
"""Label by which Knative marks a revision's Deployment; it has the labels and annotations of our pods besides."""
_BLOCKED, _INVALID = "BlockedByFailedLoad", "InvalidSpec"
_INSTALL_KSERVE = (
    f"KServe is not installed (the cluster has no {INFERENCE_SERVICES.kind} of {INFERENCE_SERVICES.api_version}), so "
    "nothing can serve its model; install KServe (docs/install.md), and it is served as soon as that is there"
)


STUCK_SECONDS = 120.0
"""How long a pod is waited for that says what keeps it, such as that no node has room: a node may be on its way.
So long also one of a sidecar alone."""
WAKING_SECONDS = 900.0
"""How long an agent that had no pods may take for its first one: weights are read from a registry, or a node is made.
Longer it is as any agent that does not serve."""


@dataclass(frozen=True)
class LostPods:
    """Pods that agents should have and will not have soon."""

    count: int = 0
    again: float | None = None
    """Seconds until another one counts, if it does not come up."""


@dataclass(frozen=True)
class WorkloadHealth:
    """An agent's workload. `ready`: some pods serve. `replaced`: all pods are what the manifest now asks for."""

    exists: bool = False
    ready: bool = False
    since: datetime | None = None
    """Since when some pod has served without a break; None where nobody knows."""
    replaced: bool = False
    available: bool = False
    """Every pod that should serve does."""
    url: str | None = None
    failure: Trouble | None = None
    """Of a failure that waiting does not cure."""
    trouble: Trouble | None = None
    """What keeps a pod from serving."""
    cold: bool = False
    """Scaled to zero, as it may be: nothing answers, and nothing is wrong."""
    waking: float | None = None
    """The same, and its first pod is on its way: seconds that are left for that."""

    @property
    def rolled_out(self) -> bool:
        """The wanted pods, and only they, serve."""
        return self.ready and self.replaced and self.available


def of_inference_service(context: Context, desired: Object, agent: Agent) -> WorkloadHealth:
    """The state of the InferenceService `desired` of an agent."""
    observed = context.observed
    if INFERENCE_SERVICES in observed.absent:
        return WorkloadHealth(failure=(KSERVE_MISSING, _INSTALL_KSERVE))
    name = desired["metadata"]["name"]
    live = observed.find(INFERENCE_SERVICES, name)
    if live is None:
        return WorkloadHealth()
    status = live.get("status") or {}
    knative = context.cascade.spec.deployment_mode is DeploymentMode.KNATIVE
    deployment = observed.find(DEPLOYMENTS, names.predictor(name))
    endpoints = _behind_knative(status) if knative else ready_endpoints.of_service(observed, names.predictor(name))
    waking = _waking(context, agent, deployment) if endpoints.count == 0 else None
    cold = waking is not None or (scaling.may_be_zero(agent) and _at_zero(deployment))
    trouble = _trouble(observed, desired, deployment)
    wanted = revision(desired)
    replaced = _revision_serves(observed, status, wanted) if knative else _replaced(deployment, wanted, cold=cold)
    return WorkloadHealth(
        exists=True,
        ready=cold or endpoints.count > 0,
        since=endpoints.since,
        replaced=replaced,
        available=knative or cold or _available(deployment),
        cold=cold,
        waking=waking,
        url=_base((status.get("address") or {}).get("url")),
        failure=_failure(status, trouble, pods=bool(_pods(observed, desired))),
        trouble=trouble,
    )


def of_deployment(context: Context, deployment: Object, agent: Agent) -> WorkloadHealth:
    """The state of the Deployment of an agent that is served elsewhere."""
    observed = context.observed
    live = observed.find(DEPLOYMENTS, deployment["metadata"]["name"])
    if live is None:
        return WorkloadHealth()
    status = live.get("status") or {}
    current = status.get("observedGeneration", 0) >= live["metadata"].get("generation", 0)
    endpoints = ready_endpoints.of_service(observed, deployment["metadata"]["name"])
    waking = _waking(context, agent, live) if endpoints.count == 0 else None
    cold = waking is not None or (scaling.may_be_zero(agent) and _at_zero(live))
    return WorkloadHealth(
        exists=True,
        ready=cold or endpoints.count > 0,
        since=endpoints.since,
        replaced=current and (cold or _all_updated(status)),
        available=cold or _available(live),
        cold=cold,
        waking=waking,
        trouble=_trouble(observed, deployment, live),
    )


def lost_pods(observed: Observed, now: datetime) -> LostPods:
    """Pods of all agents that are not ready and for which nobody waits any more.

    One that is missing for a moment, or that starts, is about to come: an engine has `START_SECONDS` for that.
    """
    found = [
        _lost_of(deployment, observed, now)
        for deployment in observed.children[DEPLOYMENTS].values()
        if label(deployment, names.LABEL_COMPONENT) == COMPONENT_AGENT
    ]
    waits = [each.again for each in found if each.again is not None]
    return LostPods(sum(each.count for each in found), min(waits, default=None))


def _lost_of(deployment: Object, observed: Observed, now: datetime) -> LostPods:
    selector = ((deployment["spec"].get("selector") or {}).get("matchLabels") or {}).items()
    matching = (
        pod for pod in observed.children[PODS].values() if selector <= (pod["metadata"].get("labels") or {}).items()
    )
    pods = [pod for pod in matching if not is_terminating(pod) and not pod_troubles.finished(pod)]
    unready = [pod for pod in pods if condition(pod.get("status") or {}, "Ready").get("status") != "True"]
    wanted = int(deployment["spec"].get("replicas", 1))
    patience = START_SECONDS if _has_engine(deployment) else STUCK_SECONDS
    waits = [
        *(_wait(pod, now, patience) for pod in unready),
        *[_refusal_wait(deployment, now)] * max(0, wanted - len(pods)),
    ]
    missing = max(0, wanted - (len(pods) - len(unready)))
    lost = sum(wait is not None and wait <= 0 for wait in waits)
    return LostPods(min(missing, lost), min((wait for wait in waits if wait is not None and wait > 0), default=None))


def _has_engine(deployment: Object) -> bool:
    """A sidecar alone starts at once: while it is not ready, an engine elsewhere does not serve."""
    return any(each["name"] == ENGINE for each in deployment["spec"]["template"]["spec"]["containers"])


def _wait(pod: Object, now: datetime, patience: float) -> float | None:
    """Seconds until a pod that is not ready is given up; None where nobody knows since when it is not."""
    ready = condition(pod.get("status") or {}, "Ready")
    since = ready.get("lastTransitionTime") or pod["metadata"].get("creationTimestamp")
    trouble = pod_troubles.of_pods([pod])
    stuck = trouble is not None and trouble[0] in pod_troubles.REASONS
    return seconds_until(since, now, STUCK_SECONDS if stuck else patience) if since else None


def _refusal_wait(deployment: Object, now: datetime) -> float | None:
    """The same of a pod that is not there: None where it is about to be made."""
    refused = condition(deployment.get("status") or {}, "ReplicaFailure")
    since = refused.get("lastTransitionTime")
    return seconds_until(since, now, STUCK_SECONDS) if since and refused.get("status") == "True" else None


def _behind_knative(status: Object) -> ReadyEndpoints:
    """Knative's gateway takes requests for any number of pods, none included, and a missing pod does not unready it."""
    ready = condition(status, "Ready")
    if ready.get("status") != "True":
        return ReadyEndpoints()
    since = ready.get("lastTransitionTime")
    return ReadyEndpoints(1, moment(since) if since else None)


def _trouble(observed: Observed, workload: Object, deployment: Object | None) -> Trouble | None:
    """What keeps a pod. Once all serve that should, those that have ended say only what is over."""
    over = _available(deployment)
    pods = (pod for pod in _pods(observed, workload) if not (over and pod_troubles.finished(pod)))
    return pod_troubles.of_deployment(deployment) or pod_troubles.of_pods(pods)


def _pods(observed: Observed, workload: Object) -> list[Object]:
    """Pods that carry a workload's labels; the pods of its training carry others."""
    wanted = workload["metadata"]["labels"].items()
    return [pod for pod in observed.children[PODS].values() if wanted <= (pod["metadata"].get("labels") or {}).items()]


def _at_zero(deployment: Object | None) -> bool:
    """Whether somebody scaled it to nothing and its last pod is gone."""
    if deployment is None or deployment["spec"].get("replicas") != 0:
        return False
    return not ((deployment.get("status") or {}).get("replicas") or 0)


def _waking(context: Context, agent: Agent, deployment: Object | None) -> float | None:
    """Seconds that an agent without pods has left to get its first: until that serves or fails to come, nothing has
    changed. None where it gets none, or not in time."""
    before = context.before.get(agent.name)
    if deployment is None or before is None or not was_cold(before) or not scaling.may_be_zero(agent):
        return None
    wanted = int(deployment["spec"].get("replicas", 1))
    if wanted == 0 or _lost_of(deployment, context.observed, context.now).count > 0:
        return None
    since = context.observed.seen_waking.get(agent.name, context.now)
    left = WAKING_SECONDS - (context.now - since).total_seconds()
    return left if left > 0 else None


def _replaced(deployment: Object | None, wanted: str, *, cold: bool) -> bool:
    if deployment is None:
        return False
    status = deployment.get("status") or {}
    seen = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    return bool(_described(deployment) == wanted and seen and (cold or _all_updated(status)))


def _described(deployment: Object) -> str | None:
    """The revision, in our words, of the pods that a Deployment makes."""
    annotations = deployment["spec"]["template"]["metadata"].get("annotations") or {}
    return annotations.get(REVISION)


def _all_updated(status: Object) -> bool:
    replicas = status.get("replicas") or 0
    return bool(0 < replicas == (status.get("updatedReplicas") or 0))


def _available(deployment: Object | None) -> bool:
    status = (deployment or {}).get("status") or {}
    return 0 < (status.get("replicas") or 0) <= (status.get("availableReplicas") or 0)


def _revision_serves(observed: Observed, status: Object, wanted: str) -> bool:
    """Knative's newest revision serves, and it is the wanted one."""
    predictor = (status.get("components") or {}).get("predictor") or {}
    latest = predictor.get("latestCreatedRevision")
    if latest is None or latest != predictor.get("latestReadyRevision"):
        return False
    found = (obj for obj in observed.children[DEPLOYMENTS].values() if label(obj, KNATIVE_REVISION) == latest)
    return any(_described(deployment) == wanted for deployment in found)


def _failure(status: Object, trouble: Trouble | None, *, pods: bool) -> Trouble | None:
    """KServe speaks of one pod as it was when its Deployment last changed, and takes nothing back: a pod that is there
    knows better (InferenceServiceStatus.SetModelFailureInfo)."""
    model = status.get("modelStatus") or {}
    transition = model.get("transitionStatus")
    if transition == _INVALID or (transition == _BLOCKED and not pods):
        info = model.get("lastFailureInfo") or {}
        message = info.get("message") or "KServe gives no message; see the log of kserve-container"
        return str(info.get("reason") or transition), str(message)
    if transition == _BLOCKED and trouble is not None and trouble[0] in pod_troubles.REASONS:
        return trouble
    predictor = condition(status, "PredictorReady")
    if predictor.get("status") == "False" and predictor.get("reason") == "ReconcileFailed":
        return "ReconcileFailed", str(predictor.get("message") or "KServe could not create the predictor")
    return None


def _base(url: Any) -> str | None:
    """The address without a path, as the route table wants it."""
    if not isinstance(url, str) or "://" not in url:
        return None
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.split('/', 1)[0]}"
