"""The workload of an agent: an InferenceService, or for an external agent a Deployment and a Service.

Shapes follow KServe v0.20: "collocation" of predictor and transformer in one pod, Standard mode first. Labels and
annotations of an InferenceService reach its pod template, so each is a function of the pod itself: one that moved for
another reason would restart a GPU pod.
"""

from __future__ import annotations

import hashlib
import json

from disrouter import names
from disrouter.api import Agent, DeploymentMode, Rollout
from disrouter_operator import containers, pods
from disrouter_operator.cascade import COMPONENT_AGENT, Cascade
from disrouter_operator.pods import Pod
from disrouter_operator.resources import DEPLOYMENTS, INFERENCE_SERVICES, SERVICES, Object

REVISION = f"{names.GROUP}/revision"
"""Pod annotation: hash of the pod's content; tells a finished rollout from old pods that are still ready."""
DEPLOYMENT_MODE = "serving.kserve.io/deploymentMode"
AUTOSCALER = "serving.kserve.io/autoscalerClass"


def inference_service(cascade: Cascade, agent: Agent, run: str | None, sidecar_image: str) -> Object:
    """The InferenceService of an agent that serves its base model, or the weights of `run`."""
    knative = cascade.spec.deployment_mode is DeploymentMode.KNATIVE
    labels = cascade.labels(COMPONENT_AGENT, agent.name)
    manifest = cascade.child(INFERENCE_SERVICES, cascade.agent_object(agent.name), labels)
    manifest["metadata"]["annotations"] = _annotations(cascade, agent)
    volumes = [containers.routes_volume(cascade)]
    model = containers.model_volume(cascade, agent, run)
    if model is not None:
        volumes.append(model)
    pod: Object = {
        "containers": [
            containers.engine(cascade, agent, run, knative=knative),
            containers.sidecar(cascade, agent, sidecar_image, containers.local_engine_env(agent)),
        ],
        "volumes": volumes,
    }
    scale: Object = {"minReplicas": agent.replicas.min, "maxReplicas": agent.replicas.max}
    if not knative:  # KServe's webhook refuses deploymentStrategy there, Knative's a grace period (fieldmask.go)
        pod["terminationGracePeriodSeconds"] = containers.GRACE_SECONDS
        scale["deploymentStrategy"] = _strategy(cascade)
    placed = pods.of_agent(cascade.spec, agent).place(pod)
    extra = {"labels": placed.labels} if placed.labels else {}
    annotations = {**placed.annotations, REVISION: _digest(placed)}
    manifest["spec"] = {"predictor": {**extra, "annotations": annotations, **scale, **placed.spec}}
    return manifest


def external(cascade: Cascade, agent: Agent, sidecar_image: str) -> Object:
    """The Deployment of the sidecar alone, in front of a provider."""
    labels = cascade.labels(COMPONENT_AGENT, agent.name)
    pod: Object = {
        "containers": [containers.sidecar(cascade, agent, sidecar_image, _provider_env(agent))],
        "volumes": [containers.routes_volume(cascade)],
        "terminationGracePeriodSeconds": containers.GRACE_SECONDS,
        "automountServiceAccountToken": False,
    }
    deployment = cascade.child(DEPLOYMENTS, cascade.agent_object(agent.name), labels)
    placed = pods.of_agent(cascade.spec, agent).place(pod)
    deployment["metadata"]["annotations"] = {REVISION: _digest(placed)}
    metadata = {**placed.metadata, "labels": {**placed.labels, **labels}}
    deployment["spec"] = {
        "replicas": agent.replicas.min,
        "selector": {"matchLabels": labels},
        "template": {"metadata": metadata, "spec": placed.spec},
    }
    return deployment


def external_service(cascade: Cascade, agent: Agent) -> Object:
    """The address of an external agent's sidecar; KServe makes the others'."""
    labels = cascade.labels(COMPONENT_AGENT, agent.name)
    service = cascade.child(SERVICES, cascade.agent_object(agent.name), labels)
    service["spec"] = service_spec(labels)
    return service


def service_spec(selector: dict[str, str]) -> Object:
    """Port 80 of a Service in front of the sidecars that `selector` finds."""
    port = {"name": "http", "port": names.ENTRY_PORT, "targetPort": names.SIDECAR_PORT, "protocol": "TCP"}
    return {"type": "ClusterIP", "selector": selector, "ports": [port]}


def pod_spec(workload: Object) -> Object:
    """The pod's fields of an agent's InferenceService or Deployment."""
    found: Object = workload["spec"].get("predictor") or workload["spec"]["template"]["spec"]
    return found


def revision(workload: Object) -> str:
    """The hash of the pod that an agent's InferenceService or Deployment asks for; empty where we wrote none."""
    described = workload["spec"].get("predictor") or workload["metadata"]
    return str((described.get("annotations") or {}).get(REVISION, ""))


def _annotations(cascade: Cascade, agent: Agent) -> dict[str, str]:
    mode = {DEPLOYMENT_MODE: str(cascade.spec.deployment_mode)}
    if cascade.spec.deployment_mode is DeploymentMode.KNATIVE:
        return mode
    fixed = agent.replicas.min == agent.replicas.max
    return mode | {AUTOSCALER: "none" if fixed else "hpa"}


def _strategy(cascade: Cascade) -> Object:
    if cascade.spec.rollout is Rollout.SURGE:
        return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    return {"type": "Recreate"}


def _provider_env(agent: Agent) -> list[Object]:
    provider = agent.external
    assert provider is not None, "only an external agent has a provider"
    env: list[Object] = [
        {"name": "DISROUTER_ENGINE_URL", "value": provider.url.rstrip("/").removesuffix("/v1")},
        {"name": "DISROUTER_ENGINE_MODEL", "value": provider.model},
        {"name": "DISROUTER_EXTERNAL", "value": "true"},
    ]
    if provider.api_key_secret_ref is not None:
        reference = {"name": provider.api_key_secret_ref.name, "key": provider.api_key_secret_ref.key}
        env.append({"name": "DISROUTER_ENGINE_KEY", "valueFrom": {"secretKeyRef": reference}})
    return env


def _digest(pod: Pod) -> str:
    content = {**pod.spec, "metadata": pod.metadata} if pod.metadata else pod.spec
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]
