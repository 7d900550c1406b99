"""The kinds of objects that the control plane reads and writes."""

from __future__ import annotations

from typing import Any, NamedTuple

from disrouter import names

Object = dict[str, Any]
"""A Kubernetes object as plain JSON."""


class Key(NamedTuple):
    """Identity of a cascade."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Resource(NamedTuple):
    """Where a kind lives in the API."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """`apps/v1`, or `v1` in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def full_name(self) -> str:
        """`deployments.apps`, as RBAC, kubectl and definitions call the kind."""
        return f"{self.plural}.{self.group}".removesuffix(".")

    @property
    def root(self) -> str:
        """The path of its group and version."""
        return (f"/apis/{self.group}" if self.group else "/api") + f"/{self.version}"

    def path(self, namespace: str | None, name: str | None = None) -> str:
        """Where objects of the kind are, in a namespace or (None) in all of them."""
        scope = f"/namespaces/{namespace}" if namespace is not None else ""
        return f"{self.root}{scope}/{self.plural}" + (f"/{name}" if name is not None else "")

    def right(self, verb: str) -> str:
        """A right on the kind, in RBAC's words."""
        return f"{verb} {self.full_name}"


class ServiceKey(NamedTuple):
    """A service of others that agents of a cascade refer to; it lies in the cascade's namespace."""

    resource: Resource
    name: str


CASCADES = Resource(names.GROUP, names.VERSION, names.PLURAL, names.KIND)
INFERENCE_SERVICES = Resource("serving.kserve.io", "v1beta1", "inferenceservices", "InferenceService")
LLM_INFERENCE_SERVICES = Resource("serving.kserve.io", "v1alpha2", "llminferenceservices", "LLMInferenceService")
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
JOBS = Resource("batch", "v1", "jobs", "Job")
TRAIN_JOBS = Resource("trainer.kubeflow.org", "v1alpha1", "trainjobs", "TrainJob")
PODS = Resource("", "v1", "pods", "Pod")
SERVICES = Resource("", "v1", "services", "Service")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
SECRETS = Resource("", "v1", "secrets", "Secret")
PERSISTENT_VOLUME_CLAIMS = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
EVENTS = Resource("", "v1", "events", "Event")
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
HORIZONTAL_POD_AUTOSCALERS = Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
SCALED_OBJECTS = Resource("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject")
SCALES = Resource("autoscaling", "v1", "scale", "Scale")
"""Not stored: the subresource of a Deployment that says how many pods it has."""
NETWORK_POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
POD_DISRUPTION_BUDGETS = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
INGRESSES = Resource("networking.k8s.io", "v1", "ingresses", "Ingress")
HTTP_ROUTES = Resource("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")

KNOWN = (
    CASCADES,
    INFERENCE_SERVICES,
    LLM_INFERENCE_SERVICES,
    DEPLOYMENTS,
    JOBS,
    TRAIN_JOBS,
    PODS,
    SERVICES,
    ENDPOINT_SLICES,
    CONFIG_MAPS,
    SECRETS,
    PERSISTENT_VOLUME_CLAIMS,
    EVENTS,
    HORIZONTAL_POD_AUTOSCALERS,
    SCALED_OBJECTS,
    NETWORK_POLICIES,
    POD_DISRUPTION_BUDGETS,
    INGRESSES,
    HTTP_ROUTES,
    LEASES,
)
_BY_TYPE = {(resource.api_version, resource.kind): resource for resource in (*KNOWN, SCALES)}


def resource_of(obj: Object) -> Resource:
    """The resource of a manifest. Raises ValueError for a kind that the control plane never touches."""
    type_ = (obj.get("apiVersion", ""), obj.get("kind", ""))
    if type_ not in _BY_TYPE:
        raise ValueError(f"{type_[0]} {type_[1]} is not a kind that disrouter handles")
    return _BY_TYPE[type_]


def reference(obj: Object) -> str:
    """`<kind>/<name>`, as a status names it."""
    return f"{obj['kind']}/{obj['metadata']['name']}"
