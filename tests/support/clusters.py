"""Scenes for tests of the control plane: cascades, and what KServe and the Job controller would report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from disrouter import names
from disrouter.artifacts import Discrimination, Evaluation, ScenarioResult
from disrouter.scenario import Scenario
from disrouter_operator.kube.resources import Object
from disrouter_operator.manifests.cascade import Cascade
from disrouter_operator.manifests.serving.inference_service import REVISION
from disrouter_operator.plan.ready_endpoints import SERVICE_NAME
from disrouter_operator.plan.workload_health import KNATIVE_REVISION

EXAMPLE = Path(__file__).parents[2] / "examples" / "qwen.yaml"


def example(**spec: Any) -> Object:
    """examples/qwen.yaml in namespace default, with top-level fields of the spec replaced."""
    manifest: Object = yaml.safe_load(EXAMPLE.read_text())
    manifest["metadata"]["namespace"] = "default"
    manifest["spec"] |= spec
    return manifest


def trained(**jobs: Any) -> Object:
    """The example with fields of `spec.training.jobs` set."""
    manifest = example()
    manifest["spec"]["training"]["jobs"] = jobs
    return manifest


def cascade(manifest: Object) -> Cascade:
    """A manifest as if an API server had taken it."""
    return Cascade.of(manifest | {"metadata": manifest["metadata"] | {"uid": "uid-of-cascade", "generation": 1}})


def ready_status(url: str | None = None, ready: str = "True") -> Object:
    """Status of an InferenceService whose pods serve, as KServe writes it in Standard mode."""
    status: Object = {
        "conditions": [{"type": kind, "status": ready} for kind in ("IngressReady", "PredictorReady", "Ready")],
        "modelStatus": {"transitionStatus": "UpToDate" if ready == "True" else "InProgress"},
    }
    return status | ({"address": {"url": url}} if url else {})


def predictor_deployment(isvc: Object, *, replicas: int = 1) -> Object:
    """The Deployment that KServe makes for an InferenceService, its rollout finished."""
    name = names.predictor(isvc["metadata"]["name"])
    selector = {"app": f"isvc.{name}"}
    predictor = isvc["spec"]["predictor"]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": isvc["metadata"]["namespace"],
            "labels": dict(isvc["metadata"]["labels"]),
            "ownerReferences": [
                {
                    "apiVersion": isvc["apiVersion"],
                    "kind": isvc["kind"],
                    "name": isvc["metadata"]["name"],
                    "uid": isvc["metadata"]["uid"],
                    "controller": True,
                }
            ],
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": selector},
            "template": {
                "metadata": {
                    "labels": {**isvc["metadata"]["labels"], **selector},
                    "annotations": {REVISION: predictor["annotations"][REVISION]},
                },
                "spec": {"containers": [{"name": "kserve-container", "image": "engine"}]},
            },
        },
    }


def ready_pod(since: str) -> Object:
    """What a kubelet reports of a pod that serves since a moment."""
    address = {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]}
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": since}
    return {"phase": "Running", "conditions": [ready], **address}


def predictor_pod(workload: Object, since: str) -> Object:
    """A pod of an agent's InferenceService or Deployment, ready since a moment."""
    metadata = workload["metadata"]
    template = workload["spec"].get("template") or workload
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{metadata['name']}-x1",
            "namespace": metadata["namespace"],
            "labels": dict(template["metadata"]["labels"]),
            "creationTimestamp": since,
        },
        "status": ready_pod(since),
    }


def endpoint_slice(workload: Object, *pods: Object) -> Object:
    """What a cluster makes of the Service with the name and labels of `workload` that leads to these pods.

    The real controller makes nothing of pods without a node.
    """
    metadata = workload["metadata"]
    service = metadata["name"]
    known = ("name", "namespace", "uid")
    targets = [{"kind": "Pod", **{key: pod["metadata"].get(key) for key in known}} for pod in pods]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{service}-x1",
            "namespace": metadata["namespace"],
            "labels": {**metadata["labels"], SERVICE_NAME: service},
            "ownerReferences": metadata.get("ownerReferences") or [],
        },
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": [f"10.0.0.{place + 1}"], "conditions": {"ready": True}, "targetRef": target}
            for place, target in enumerate(targets)
        ],
    }


def knative_deployment(isvc: Object, number: int) -> Object:
    """The Deployment that Knative makes for the revision `number` of an InferenceService in Knative mode."""
    deployment = predictor_deployment(isvc)
    named = {KNATIVE_REVISION: knative_revision(isvc, number)}
    deployment["metadata"]["name"] = f"{named[KNATIVE_REVISION]}-deployment"
    deployment["metadata"]["labels"] |= named
    deployment["spec"]["selector"] = {"matchLabels": named}
    deployment["spec"]["template"]["metadata"]["labels"] |= named
    return deployment


def knative_revision(isvc: Object, number: int) -> str:
    """Its name."""
    return f"{names.predictor(isvc['metadata']['name'])}-{number:05}"


def knative_status(isvc: Object, created: int, ready: int) -> Object:
    """Status of an InferenceService in Knative mode; it is ready while any revision is."""
    numbers = {"latestCreatedRevision": created, "latestReadyRevision": ready}
    predictor = {field: knative_revision(isvc, number) for field, number in numbers.items()}
    return ready_status(names.service_url(isvc["metadata"]["name"], isvc["metadata"]["namespace"])) | {
        "components": {"predictor": predictor}
    }


def rolled_out(generation: int = 1, replicas: int = 1) -> Object:
    """Status of a Deployment whose pods are all new and available."""
    counts = ("replicas", "updatedReplicas", "availableReplicas", "readyReplicas")
    return {"observedGeneration": generation} | dict.fromkeys(counts, replicas)


def complete() -> Object:
    """Status of a Job that succeeded."""
    return {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}


def failed(reason: str = "BackoffLimitExceeded") -> Object:
    """Status of a Job that gave up."""
    return {"failed": 1, "conditions": [{"type": "Failed", "status": "True", "reason": reason}]}


def pod_of(job: Object, message: str, exit_code: int = 0) -> Object:
    """A finished pod of a Job with a termination message."""
    terminated = {"exitCode": exit_code, "message": message}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{job['metadata']['name']}-x1",
            "namespace": job["metadata"]["namespace"],
            "labels": dict(job["spec"]["template"]["metadata"]["labels"]),
        },
        "status": {"containerStatuses": [{"name": "trainer", "state": {"terminated": terminated}}]},
    }


def evaluation(run: str, gain: float) -> str:
    """The compact JSON that `evaluate` leaves."""
    result = Evaluation(
        run=run,
        questions=200,
        base_accuracy=0.5,
        must_answer_accuracy=0.5,
        scenarios=tuple(
            ScenarioResult(
                scenario=scenario,
                coverage=0.5,
                selective_accuracy=0.8,
                utility=0.6 + gain,
                serving_utility=0.6,
                self_assessment_accuracy=0.8,
                self_assessment_f1=0.8,
            )
            for scenario in Scenario
        ),
        discrimination=Discrimination(area=0.8, low=0.7, high=0.9),
        first_token_discrimination=Discrimination(area=0.8, low=0.7, high=0.9),
    )
    return json.dumps(result.dump(), separators=(",", ":"))


def condition_of(cascade: Object, type_: str) -> Any:
    """A condition that a cascade must have."""
    return next(each for each in cascade["status"]["conditions"] if each["type"] == type_)
