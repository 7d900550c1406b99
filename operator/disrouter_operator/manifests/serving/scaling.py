"""How many pods an agent has, and who says so. What an autoscaler sets is never ours to write.

Standard mode leaves scaling to KServe by its annotation: `none` keeps `minReplicas`, `hpa` and `keda` make it write an
HPA or a ScaledObject, `external` leaves the Deployment's replicas alone (reconcilers/{deployment,hpa,keda}). Knative
scales every revision itself and needs no annotation.
"""

from __future__ import annotations

from typing import Any

from disrouter.api import Agent, Autoscaler, DeploymentMode
from disrouter.api.agent import Autoscaling, ScaleMetric
from disrouter.names import FIELD_MANAGER
from disrouter_operator.kube.resources import Object

AUTOSCALER = "serving.kserve.io/autoscalerClass"
KNATIVE_CLASS = "autoscaling.knative.dev/class"
_KNATIVE_HPA = "hpa.autoscaling.knative.dev"
_UTILISATION = (ScaleMetric.CPU, ScaleMetric.MEMORY)


def autoscaler(agent: Agent) -> Autoscaler:
    """What sets the agent's replicas; without a word on it an HPA where there is room between `min` and `max`."""
    if agent.autoscaling is not None:
        return agent.autoscaling.autoscaler
    return Autoscaler.NONE if agent.replicas.min == agent.replicas.max else Autoscaler.HPA


def may_be_zero(agent: Agent) -> bool:
    """Whether an agent without pods is as it should be."""
    return agent.replicas.min == 0 or autoscaler(agent) is Autoscaler.EXTERNAL


def service_annotations(agent: Agent, mode: DeploymentMode) -> dict[str, str]:
    """Annotations of the InferenceService."""
    return {AUTOSCALER: str(autoscaler(agent))} if mode is DeploymentMode.STANDARD else {}


def pod_annotations(agent: Agent, mode: DeploymentMode) -> dict[str, str]:
    """Annotations of the pods; Knative's own autoscaler knows neither CPU nor memory."""
    if mode is DeploymentMode.STANDARD or agent.autoscaling is None or agent.autoscaling.metric not in _UTILISATION:
        return {}
    return {KNATIVE_CLASS: _KNATIVE_HPA}


def fields(agent: Agent, mode: DeploymentMode) -> Object:
    """Fields of the predictor."""
    kind = autoscaler(agent)
    if mode is DeploymentMode.STANDARD and kind is Autoscaler.EXTERNAL:
        return {}
    fixed = kind is Autoscaler.NONE
    bounds = {"minReplicas": agent.replicas.min, "maxReplicas": agent.replicas.min if fixed else agent.replicas.max}
    if agent.autoscaling is None or fixed:
        return bounds
    if mode is DeploymentMode.STANDARD and kind is Autoscaler.KEDA:
        return bounds | {"autoScaling": {"metrics": [_keda(agent.autoscaling)]}}
    return bounds | {"scaleMetric": str(agent.autoscaling.metric), "scaleTarget": agent.autoscaling.target}


def replicas(agent: Agent, live: Object | None) -> Object:
    """`replicas` of an external agent's Deployment, or nothing where somebody else sets them.

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


def _keda(scaling: Autoscaling) -> Object:
    if scaling.query is None:
        target = {"type": "Utilization", "averageUtilization": scaling.target}
        return {"type": "Resource", "resource": {"name": str(scaling.metric), "target": target}}
    metric = {"backend": "prometheus", "serverAddress": scaling.prometheus, "query": scaling.query}
    return {
        "type": "External",
        "external": {"metric": metric, "target": {"type": "Value", "value": str(scaling.target)}},
    }
