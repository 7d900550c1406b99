"""The workload of an agent: an InferenceService, or a Deployment and a Service where it is served elsewhere.

Shapes follow KServe v0.20: "collocation" of predictor and transformer in one pod, Standard mode first. Labels and
annotations of an InferenceService reach its pod template, so each is a function of the pod itself: one that moved for
another reason would restart a GPU pod.
"""

from __future__ import annotations

import hashlib
import json

from disrouter import names
from disrouter.api import Agent, DeploymentMode, Rollout
from disrouter.errors import InvalidCascade, Violation
from disrouter_operator.kube.resources import DEPLOYMENTS, INFERENCE_SERVICES, SERVICES, Object
from disrouter_operator.manifests import containers, hub, pod_options
from disrouter_operator.manifests.cascade import COMPONENT_AGENT, Cascade
from disrouter_operator.manifests.pod_options import Options, Pod
from disrouter_operator.manifests.serving import engine_container, knative, scaling, sidecar_container
from disrouter_operator.manifests.serving.sidecar_container import Provider

REVISION = f"{names.GROUP}/revision"
"""Pod annotation: hash of the pod's content; tells a finished rollout from old pods that are still ready."""
LAST_WORDS = {"terminationMessagePolicy": "FallbackToLogsOnError"}
"""A container that fails leaves the end of its log in its pod's status, which the operator reads."""
DEPLOYMENT_MODE = "serving.kserve.io/deploymentMode"
_ISOLATED: Object = {"automountServiceAccountToken": False, "enableServiceLinks": False}
"""No account of the cluster, and no variable of other Services: one called `vllm` would give the engine a VLLM_PORT
that it cannot read."""
_UNPUBLISHED = {
    DeploymentMode.STANDARD: {"networking.kserve.io/visibility": "cluster-local"},
    DeploymentMode.KNATIVE: {"networking.knative.dev/visibility": "cluster-local"},
}
"""Labels by which KServe makes no Ingress and no HTTPRoute of an agent (kube_ingress_reconciler.go,
httproute_reconciler.go), and Knative no public route (ingress_reconciler.go): requests enter by the cascade's own."""


def inference_service(cascade: Cascade, agent: Agent, run: str | None, sidecar_image: str) -> Object:
    """The InferenceService of an agent that serves its base model, or the weights of `run`."""
    mode = cascade.spec.deployment_mode
    standard = mode is DeploymentMode.STANDARD
    pod: Object = {
        "containers": [
            engine_container.container(cascade, agent, run, knative=not standard) | LAST_WORDS,
            sidecar_container.container(cascade, agent, sidecar_image) | LAST_WORDS,
        ],
        "volumes": [
            *sidecar_container.volumes(cascade),
            *engine_container.volumes(cascade, agent, run, knative=not standard),
        ],
        **_ISOLATED,
    }
    scale = scaling.fields(agent, mode)
    if standard:  # KServe's webhook refuses deploymentStrategy elsewhere, Knative's a grace period (fieldmask.go)
        pod["terminationGracePeriodSeconds"] = containers.GRACE_SECONDS
        pod["securityContext"] = _pod_security(agent, run)  # Knative's webhook wants a feature flag for it
        scale["deploymentStrategy"] = _strategy(cascade, agent)
    else:
        scale |= knative.fields(cascade.spec)
    placed = _placed(cascade, agent, pod)
    labels = {"labels": placed.labels} if placed.labels else {}
    further = {} if standard else knative.revision_annotations(engine_container.START_SECONDS)
    annotations = {**further, **placed.annotations, REVISION: _digest(placed)}
    own = cascade.labels(COMPONENT_AGENT, agent.name) | _UNPUBLISHED[mode]
    manifest = cascade.child(INFERENCE_SERVICES, cascade.agent_object(agent.name), own)
    scalers = scaling.SERVICE_ANNOTATIONS if standard else knative.service_annotations(agent)
    manifest["metadata"]["annotations"] = {DEPLOYMENT_MODE: str(mode), **scalers}
    manifest["spec"] = {"predictor": {**labels, "annotations": annotations, **scale, **placed.spec}}
    return manifest


def deployment(
    cascade: Cascade, agent: Agent, provider: Provider, sidecar_image: str, live: Object | None = None
) -> Object:
    """The Deployment of the sidecar alone, in front of a provider; `live` is what there is of it."""
    labels = cascade.labels(COMPONENT_AGENT, agent.name)
    pod: Object = {
        "containers": [sidecar_container.container(cascade, agent, sidecar_image, provider) | LAST_WORDS],
        "volumes": sidecar_container.volumes(cascade),
        "terminationGracePeriodSeconds": containers.GRACE_SECONDS,
        "securityContext": dict(containers.POD_SECURITY),
        **_ISOLATED,
    }
    manifest = cascade.child(DEPLOYMENTS, cascade.agent_object(agent.name), labels)
    placed = _placed(cascade, agent, pod)
    manifest["metadata"]["annotations"] = {REVISION: _digest(placed)}
    metadata = {**placed.metadata, "labels": {**placed.labels, **labels}}
    manifest["spec"] = {
        **scaling.replicas(agent, live),
        "selector": {"matchLabels": labels},
        "template": {"metadata": metadata, "spec": placed.spec},
    }
    return manifest


def deployment_service(cascade: Cascade, agent: Agent) -> Object:
    """The address of such a sidecar; KServe makes that of an InferenceService."""
    labels = cascade.labels(COMPONENT_AGENT, agent.name)
    service = cascade.child(SERVICES, cascade.agent_object(agent.name), labels)
    service["spec"] = service_spec(cascade, labels)
    return service


def service_spec(cascade: Cascade, selector: dict[str, str], target: int = names.SIDECAR_PORT) -> Object:
    """Port 80, or 443 where sidecars speak TLS, of a Service in front of `target` of the pods that `selector` finds."""
    name, port = ("http", names.ENTRY_PORT) if cascade.spec.tls is None else ("https", names.TLS_PORT)
    ports = [{"name": name, "port": port, "targetPort": target, "protocol": "TCP"}]
    return {"type": "ClusterIP", "selector": selector, "ports": ports}


def pod_spec(workload: Object) -> Object:
    """The pod's fields of an agent's InferenceService or Deployment."""
    found: Object = workload["spec"].get("predictor") or workload["spec"]["template"]["spec"]
    return found


def revision(workload: Object) -> str:
    """The hash of the pod that an agent's InferenceService or Deployment asks for; empty where we wrote none."""
    described = workload["spec"].get("predictor") or workload["metadata"]
    return str((described.get("annotations") or {}).get(REVISION, ""))


def _placed(cascade: Cascade, agent: Agent, pod: Object) -> Pod:
    """The pod as the manifest's options want it. Raises InvalidCascade."""
    options = pod_options.of_agent(cascade.spec, agent)
    placed = options.place(pod)
    if cascade.spec.deployment_mode is DeploymentMode.KNATIVE and not agent.served_elsewhere:
        _one_port(placed, options)
    return placed


def _one_port(pod: Pod, options: Options) -> None:
    """Knative serves exactly one port of a pod. Raises InvalidCascade."""
    further = [container["name"] for container in pod.spec["containers"][2:] if container.get("ports")]
    if further:
        place = f"{options.given['template']}.template.containers[{further[0]}].ports"
        raise InvalidCascade([Violation(place, "Knative allows one port in a pod, the sidecar's; remove it")])


def _pod_security(agent: Agent, run: str | None) -> Object:
    """What containers inherit that others put into the pod, such as KServe's initializer; and the group by which an
    engine writes to a cache that the trainer writes to too."""
    non_root = {"runAsNonRoot": True} if agent.engine.security_context.run_as_non_root else {}
    cached = run is None and hub.claim(agent) is not None
    return {**containers.POD_SECURITY, **non_root, **({"fsGroup": containers.FILE_GROUP} if cached else {})}


def _strategy(cascade: Cascade, agent: Agent) -> Object:
    """How a Deployment replaces its pods. Several go one at a time; of one pod the GPU is free before the next asks."""
    if cascade.spec.rollout is Rollout.SURGE:
        return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    if scaling.may_be_several(agent):
        return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    return {"type": "Recreate"}


def _digest(pod: Pod) -> str:
    content = {**pod.spec, "metadata": pod.metadata} if pod.metadata else pod.spec
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]
