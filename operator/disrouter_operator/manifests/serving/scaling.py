"""How many pods an agent has, and who says so. What an autoscaler sets is never ours to write.

Standard mode tells KServe, once and for ever, that somebody else scales (annotation `external`): it leaves the
Deployment's replicas alone then (reconcilers/deployment). A class of KServe's own would be copied into the pod template
and restart the pods whenever it changed. What scales is an autoscaler of ours (`autoscaler.py`), or the reconcile
itself by the Deployment's `scale`. Knative scales every revision itself (`knative.py`).
"""

from __future__ import annotations

from typing import Any

from disrouter.api import Agent, Autoscaler, DeploymentMode
from disrouter.api.agent import Autoscaling, ScaleMetric
from disrouter.names import FIELD_MANAGER
from disrouter_operator.kube.resources import SCALES, Object

SERVICE_ANNOTATIONS = {"serving.kserve.io/autoscalerClass": "external"}
"""Of the InferenceService in Standard mode, whatever scales."""


def autoscaler(agent: Agent) -> Autoscaler | None:
    """What is to set the agent's replicas; None: its manifest does not say, and there is room (`autoscaler.py`)."""
    if agent.autoscaling is not None:
        return agent.autoscaling.autoscaler
    return Autoscaler.NONE if agent.replicas.min == agent.replicas.max else None


def left_to_us(live: Object) -> bool:
    """Whether KServe leaves the replicas of an InferenceService alone; an older release let it scale some itself."""
    return SERVICE_ANNOTATIONS.items() <= (live["metadata"].get("annotations") or {}).items()


def may_be_zero(agent: Agent) -> bool:
    """Whether an agent without pods is as it should be."""
    return agent.replicas.min == 0 or autoscaler(agent) is Autoscaler.EXTERNAL


def may_be_several(agent: Agent) -> bool:
    """Whether it may have two pods or more."""
    return agent.replicas.max > 1 or autoscaler(agent) is Autoscaler.EXTERNAL


def watched(scaling: Autoscaling, mode: DeploymentMode) -> ScaleMetric:
    """What is watched where the manifest does not say: what whoever scales knows of requests, else the CPU."""
    if scaling.metric is not None:
        return scaling.metric
    counts = mode is DeploymentMode.KNATIVE or scaling.prometheus is not None
    return ScaleMetric.CONCURRENCY if counts else ScaleMetric.CPU


def fields(agent: Agent, mode: DeploymentMode) -> Object:
    """Fields of the predictor, by which Knative scales."""
    if mode is DeploymentMode.STANDARD:
        return {}
    fixed = agent.autoscaling is not None and agent.autoscaling.autoscaler is Autoscaler.NONE
    bounds = {"minReplicas": agent.replicas.min, "maxReplicas": agent.replicas.min if fixed else agent.replicas.max}
    if agent.autoscaling is None or fixed:
        return bounds
    return bounds | {"scaleMetric": str(watched(agent.autoscaling, mode)), "scaleTarget": agent.autoscaling.target}


def bounds(agent: Agent, floor: int = 0) -> tuple[int, int]:
    """The fewest and the most pods that an agent may have; `floor` raises the fewest as far as the most allow."""
    least = agent.replicas.min
    most = least if autoscaler(agent) is Autoscaler.NONE else max(least, agent.replicas.max)
    return max(least, min(floor, most)), most


def scale(agent: Agent, live: Object, floor: int = 0) -> Object | None:
    """What to write to the `scale` of the Deployment `live` of an agent; None where it has as many pods as it may.

    An autoscaler keeps to its bounds itself, but an HPA never wakes what has no pods.
    """
    if autoscaler(agent) is Autoscaler.EXTERNAL:
        return None
    least, most = bounds(agent, floor)
    now = int(live["spec"].get("replicas", 1))
    wanted = min(max(now, least), most)
    if wanted == now:
        return None
    metadata = {key: live["metadata"].get(key) for key in ("name", "namespace")}
    return {
        "apiVersion": SCALES.api_version,
        "kind": SCALES.kind,
        "metadata": metadata,
        "spec": {"replicas": wanted},
    }


def replicas(agent: Agent, live: Object | None) -> Object:
    """`replicas` of a Deployment of the sidecar alone, or nothing where somebody else sets them.

    Leaving out a field that server-side apply made ours would reset it to 1, so it stays as it is until somebody else
    sets it and thereby owns it.
    """
    if autoscaler(agent) is not Autoscaler.EXTERNAL:
        return {"replicas": agent.replicas.min}
    return {"replicas": live["spec"]["replicas"]} if live is not None and _ours(live) else {}


def _ours(live: Object) -> bool:
    entries: list[dict[str, Any]] = live["metadata"].get("managedFields") or []
    return any(
        entry.get("manager") == FIELD_MANAGER and "f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
        for entry in entries
    )
