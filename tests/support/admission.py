"""What KServe's and Knative's webhooks refuse of an InferenceService, restated: neither runs without a cluster.

KServe: pkg/apis/serving/v1beta1/inference_service_validation.go (validateInferenceServiceAutoscaler,
validateScalingHPACompExtension, validateScalingKPACompExtension, validateKPAMetrics). Knative serving:
pkg/apis/serving/k8s_validation.go (reservedPaths, ValidateVolumes, validateContainersPorts, validateSidecarContainer,
validateVolumeMounts) and fieldmask.go (PodSpecMask, ContainerMask, PodSecurityContextMask), with `config-features` as
it comes, but for the claims, selectors and priorities that docs/serving.md asks for.
"""

from __future__ import annotations

from collections.abc import Iterator

from disrouter_operator.kube.resources import Object

MODE, CLASS = "serving.kserve.io/deploymentMode", "autoscaling.knative.dev/class"
HPA = "hpa.autoscaling.knative.dev"
RESERVED = frozenset({"/", "/dev", "/dev/log", "/tmp", "/var", "/var/log"})
POD_FIELDS = frozenset(
    {
        *("serviceAccountName", "containers", "initContainers", "volumes", "imagePullSecrets"),
        *("enableServiceLinks", "automountServiceAccountToken", "nodeSelector", "tolerations", "priorityClassName"),
    }
)
COMPONENT_FIELDS = frozenset(
    {
        "labels",
        "annotations",
        "minReplicas",
        "maxReplicas",
        "scaleMetric",
        "scaleTarget",
        "timeout",
        "deploymentStrategy",
    }
)
MAX_TIMEOUT = 600
"""`max-revision-timeout-seconds` as it comes (pkg/apis/config/defaults.go)."""


def refusals(service: Object) -> list[str]:
    """What would be said; empty for what is admitted."""
    knative = service["metadata"].get("annotations", {}).get(MODE) == "Knative"
    predictor = service["spec"]["predictor"]
    scaling = _scaling(service, predictor, knative=knative)
    return [*scaling, *_knative(predictor)] if knative else [*scaling]


def _scaling(service: Object, predictor: Object, *, knative: bool) -> Iterator[str]:
    metric, target = predictor.get("scaleMetric"), predictor.get("scaleTarget", 1)
    by_hpa = not knative or service["metadata"]["annotations"].get(CLASS) == HPA
    allowed, unsaid = (("cpu", "memory"), "cpu") if by_hpa else (("concurrency", "rps"), "concurrency")
    if (metric or unsaid) not in allowed:
        yield f"[{metric}] is not a supported metric"
    if by_hpa and target > 100:
        yield "the target utilization percentage should be a [1-100] integer"
    if knative and "deploymentStrategy" in predictor:
        yield "customizing deploymentStrategy is only supported for raw deployment mode"


def _knative(predictor: Object) -> Iterator[str]:
    unknown = predictor.keys() - POD_FIELDS - COMPONENT_FIELDS
    yield from (f"must not set the field(s): {name}" for name in sorted(unknown))
    if predictor.get("timeout", 1) > MAX_TIMEOUT:
        yield f"expected 0 <= {predictor['timeout']} <= {MAX_TIMEOUT}: timeoutSeconds"
    containers = predictor["containers"]
    if sum(len(each.get("ports") or []) for each in containers) != 1:
        yield "more than one container port is set, or none"
    mounted = {mount["name"] for each in containers for mount in each.get("volumeMounts") or []}
    for volume in predictor.get("volumes") or []:
        if volume["name"] not in mounted:
            yield f"volume with name {volume['name']!r} not mounted"
    kinds = {volume["name"]: set(volume) for volume in predictor.get("volumes") or []}
    for container in containers:
        yield from _container(container, kinds)


def _container(container: Object, kinds: dict[str, set[str]]) -> Iterator[str]:
    if "lifecycle" in container:
        yield "must not set the field(s): lifecycle"
    if not container.get("ports"):
        yield from (f"must not set the field(s): {each}" for each in container if each.endswith("Probe"))
    for mount in container.get("volumeMounts") or []:
        if mount["mountPath"].rstrip("/") in RESERVED:
            yield f"mountPath {mount['mountPath']!r} is a reserved path"
        writable = {"emptyDir", "persistentVolumeClaim"} & kinds[mount["name"]]
        if not writable and not mount.get("readOnly"):
            yield "volume mount should be readOnly for this type of volume"
