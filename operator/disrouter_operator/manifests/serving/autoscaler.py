"""The autoscaler of an agent's Deployment in Standard mode: an HPA, or a ScaledObject of KEDA.

They are ours and not KServe's, so that an edit of how an agent scales reaches no pod template (`scaling.py`).
"""

from __future__ import annotations

from disrouter import names
from disrouter.api import Agent, Autoscaler, DeploymentMode
from disrouter.api.agent import Autoscaling, ScaleMetric
from disrouter_operator.kube.resources import DEPLOYMENTS, HORIZONTAL_POD_AUTOSCALERS, SCALED_OBJECTS, Object
from disrouter_operator.manifests.cascade import COMPONENT_AGENT, Cascade
from disrouter_operator.manifests.containers import ENGINE
from disrouter_operator.manifests.serving import load_queries, scaling
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
        manifest["spec"] = {"scaleTargetRef": target, **bounds, "metrics": _metrics(cascade, agent, wanted)}
        return manifest
    if kind is Autoscaler.KEDA:
        manifest = cascade.child(SCALED_OBJECTS, workload, _labels(cascade, agent, workload))
        bounds = {"minReplicaCount": least, "maxReplicaCount": most}
        target = {"name": names.predictor(workload)}
        manifest["spec"] = {"scaleTargetRef": target, **bounds, "triggers": _triggers(cascade, agent, wanted)}
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


def _metrics(cascade: Cascade, agent: Agent, wanted: Autoscaling) -> list[Object]:
    """Of requests, as Prometheus has recorded them (charts/disrouter/rules/load.yaml) and an adapter tells them; or of
    the engine alone: the sidecar beside it is nearly idle, and would halve what is measured."""
    watched = scaling.watched(wanted, DeploymentMode.STANDARD)
    if watched in load_queries.METRICS:
        labels = {"cascade": cascade.name, "agent": agent.name}
        target: Object = {"type": "AverageValue", "averageValue": str(wanted.target)}
        return [
            {
                "type": "External",
                "external": {"metric": {"name": name, "selector": {"matchLabels": labels}}, "target": target},
            }
            for name in load_queries.recorded(watched, behind=_is_behind(cascade, agent))
        ]
    target = {"type": "Utilization", "averageUtilization": wanted.target}
    resource = {"name": str(watched), "container": ENGINE, "target": target}
    return [{"type": "ContainerResource", "containerResource": resource}]


def _triggers(cascade: Cascade, agent: Agent, wanted: Autoscaling) -> list[Object]:
    """Of several the one counts that asks for the most pods, and any wakes an agent from zero.

    KEDA takes numbers as text (keda.sh/v1alpha1, scalers `prometheus`, `cpu` and `memory`).
    """
    if wanted.query is not None:
        return [_asked(wanted, wanted.query)]
    watched = scaling.watched(wanted, DeploymentMode.STANDARD)
    if watched not in load_queries.METRICS:
        where = {"value": str(wanted.target), "containerName": ENGINE}
        return [{"type": str(watched), "metricType": "Utilization", "metadata": where}]
    queries = _queries(cascade, agent, watched, wanted.target)
    return [{"name": name, **_asked(wanted, query)} for name, query in queries.items()]


def _queries(cascade: Cascade, agent: Agent, watched: ScaleMetric, target: int) -> dict[str, str]:
    """What the agent has, and what is on its way to it."""
    load = load_queries.Load(watched, cascade.namespace, cascade.name, target)
    queries = {"present": load.present(agent.name)}
    if _is_behind(cascade, agent):
        queries["ahead"] = load.ahead(agent.name)
    path = _path(cascade, agent)
    if len(path) > 2:
        queries["from-entry"] = load.from_entry(path)
    return queries


def _path(cascade: Cascade, agent: Agent) -> list[str]:
    """From the agent that requests enter at to this one, by what each hands on to; empty where none leads there."""
    spec = cascade.spec
    route = list(spec.route_from(spec.agents[spec.first].name))
    return route[: route.index(agent.name) + 1] if agent.name in route else []


def _asked(wanted: Autoscaling, query: str) -> Object:
    where = {"serverAddress": str(wanted.prometheus), "query": query, "threshold": str(wanted.target)}
    return {"type": "prometheus", "metadata": where}


def _is_behind(cascade: Cascade, agent: Agent) -> bool:
    """Whether requests come to it by other agents: all but those that enter there. A client may name any agent."""
    return agent.name != cascade.spec.agents[cascade.spec.first].name
