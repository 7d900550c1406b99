"""The autoscaler of an agent's Deployment in Standard mode: an HPA, or a ScaledObject of KEDA.

They are ours and not KServe's, so that an edit of how an agent scales reaches no pod template (`scaling.py`).
"""

from __future__ import annotations

from disrouter import names
from disrouter.api import Agent, Autoscaler, DeploymentMode
from disrouter.api.agent import Autoscaling
from disrouter_operator.kube.resources import DEPLOYMENTS, HORIZONTAL_POD_AUTOSCALERS, SCALED_OBJECTS, Object
from disrouter_operator.manifests.cascade import COMPONENT_AGENT, Cascade
from disrouter_operator.manifests.containers import ENGINE
from disrouter_operator.manifests.serving import scaling
from disrouter_operator.manifests.serving.inference_service import pod_spec


def of_workload(cascade: Cascade, agent: Agent, inference_service: Object, floor: int = 0) -> Object | None:
    """The autoscaler of an InferenceService of an agent, None where it has none.

    `floor` is how many pods it must at least have although the manifest asks for fewer.
    """
    if cascade.spec.deployment_mode is not DeploymentMode.STANDARD or agent.served_elsewhere:
        return None
    workload, kind = inference_service["metadata"]["name"], scaling.autoscaler(agent) or _default(inference_service)
    least, most = scaling.bounds(agent, floor)
    wanted = agent.autoscaling or Autoscaling()
    if kind is Autoscaler.HPA:
        manifest = cascade.child(HORIZONTAL_POD_AUTOSCALERS, workload, _labels(cascade, agent, workload))
        target = {"apiVersion": DEPLOYMENTS.api_version, "kind": DEPLOYMENTS.kind, "name": names.predictor(workload)}
        bounds = {"minReplicas": least, "maxReplicas": most}
        manifest["spec"] = {"scaleTargetRef": target, **bounds, "metrics": [_metric(wanted)]}
        return manifest
    if kind is Autoscaler.KEDA:
        manifest = cascade.child(SCALED_OBJECTS, workload, _labels(cascade, agent, workload))
        bounds = {"minReplicaCount": least, "maxReplicaCount": most}
        target = {"name": names.predictor(workload)}
        manifest["spec"] = {"scaleTargetRef": target, **bounds, "triggers": [_trigger(wanted)]}
        return manifest
    return None


def _default(inference_service: Object) -> Autoscaler | None:
    """What sets the replicas where there is room and the manifest does not say; None: nobody, and whoever does is kept
    between `min` and `max`.

    An engine on CPUs has an HPA. How busy the CPU is beside a GPU or another device says nothing of its load: the
    engine's loops spin. The names of devices have a domain, or a claim stands for them (DRA).
    """
    containers = pod_spec(inference_service)["containers"]
    asked = next((each.get("resources") or {} for each in containers if each["name"] == ENGINE), {})
    named = (name for bounds in ("limits", "requests") for name in asked.get(bounds) or ())
    return None if asked.get("claims") or any("/" in name for name in named) else Autoscaler.HPA


def _labels(cascade: Cascade, agent: Agent, workload: str) -> dict[str, str]:
    return cascade.labels(COMPONENT_AGENT, agent.name) | {names.LABEL_WORKLOAD: workload}


def _watched(wanted: Autoscaling) -> str:
    return str(scaling.watched(wanted, DeploymentMode.STANDARD))


def _metric(wanted: Autoscaling) -> Object:
    """Of the engine alone: the sidecar beside it is nearly idle, and would halve what is measured."""
    target = {"type": "Utilization", "averageUtilization": wanted.target}
    return {
        "type": "ContainerResource",
        "containerResource": {"name": _watched(wanted), "container": ENGINE, "target": target},
    }


def _trigger(wanted: Autoscaling) -> Object:
    """KEDA takes numbers as text (keda.sh/v1alpha1, scalers `prometheus`, `cpu` and `memory`)."""
    if wanted.query is None:
        where = {"value": str(wanted.target), "containerName": ENGINE}
        return {"type": _watched(wanted), "metricType": "Utilization", "metadata": where}
    where = {"serverAddress": str(wanted.prometheus), "query": wanted.query, "threshold": str(wanted.target)}
    return {"type": "prometheus", "metadata": where}
