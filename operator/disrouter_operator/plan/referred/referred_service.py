"""A service of KServe that others keep: where its API is, under which name its model, and what it lacks.

Whether it serves is not judged by its `Ready`, which KServe takes from a Deployment that one missing pod of many turns
off: the sidecar before it asks it, and is ready while it answers. What its object says is why it may not. Only one that
Knative lets sleep is not asked, and its `Ready` counts, which stays while it sleeps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from disrouter import names
from disrouter.api import ServiceRef
from disrouter.api.agent import PROVIDER_URL
from disrouter_operator.errors import KubeError
from disrouter_operator.kube.observed import REFERRED, Observed, condition, is_terminating, label
from disrouter_operator.kube.resources import INFERENCE_SERVICES, Object, Resource, ServiceKey, resource_of
from disrouter_operator.manifests.serving.inference_service import DEPLOYMENT_MODE
from disrouter_operator.manifests.serving.sidecar_container import Provider
from disrouter_operator.plan.referred import served_model
from disrouter_operator.status.conditions import (
    KSERVE_MISSING,
    MODEL_UNNAMED,
    SERVICE_MISSING,
    SERVICE_NOT_READY,
    SERVICE_OF_CASCADE,
    SERVICE_UNREADABLE,
    SERVICE_WITHOUT_ADDRESS,
)

WORKLOAD_SERVICE = "-kserve-workload-svc"
"""End of the name of the Service before the pods of an LLMInferenceService (KServe, llmisvc/workload.go)."""
WORKLOAD_PORT = 8000
"""Its port, which KServe leaves out of the address where there is no route."""
API = "/v1"
HUGGING_FACE_API = "/openai/v1"
"""Where KServe's server for the models of Hugging Face has the API."""
_STANDARD = ("Standard", "RawDeployment")
"""Names, new and old, of the mode without Knative."""
HEALTH = "/models"
"""Below it: every engine with that API lists its models, and behind a gateway nothing but the API may be reached."""

Said = tuple[str, str]
"""Reason and message."""


@dataclass(frozen=True)
class ReferredService:
    """What is known of it."""

    provider: Provider | None = None
    """As the sidecar before it asks it; None while its address or its model's name is not known."""
    failure: Said | None = None
    """What waiting does not cure."""
    trouble: Said | None = None
    """Why it may not serve now."""
    asked: bool = True
    """By the sidecar before it, whether it serves. One that may sleep is not, or it never would."""

    @property
    def judged_away(self) -> bool:
        """Whether it does not serve, by its own object alone."""
        return self.trouble is not None and not self.asked


def look(observed: Observed, wanted: ServiceRef, field: str) -> ReferredService:
    """The service that an agent refers to; `field` is the reference's place in the manifest."""
    resource, title = REFERRED[wanted.kind], f"{wanted.kind} {wanted.name}"
    if resource in observed.absent:
        text = f"the cluster has no {resource.kind} of {resource.api_version}; install that part of KServe"
        return ReferredService(failure=(KSERVE_MISSING, f"{text} (docs/install.md)"))
    key = ServiceKey(resource, wanted.name)
    if key in observed.refusals:
        return _unread(observed.refusals[key], resource, title)
    service = observed.services.get(key)
    if service is None:
        text = f"there is no {title} in this namespace; make it, or correct {field}"
        return ReferredService(trouble=(SERVICE_MISSING, text))
    owner = label(service, names.LABEL_CASCADE)
    if owner is not None:
        text = f"{title} is an agent of cascade {owner}, not somebody else's; correct {field}, or ask that cascade"
        return ReferredService(failure=(SERVICE_OF_CASCADE, f"{text} as external"))
    return _read(service, wanted, field, title)


def _unread(refusal: KubeError, resource: Resource, title: str) -> ReferredService:
    text = f"{title} cannot be read: {refusal.answer}"
    if refusal.of_webhook:
        return ReferredService(trouble=(SERVICE_UNREADABLE, f"{text}; it is asked again until that webhook answers"))
    remedy = f"grant the operator {resource.right('get')} (docs/security.md)"
    return ReferredService(failure=(SERVICE_UNREADABLE, f"{text}; {remedy}"))


def _read(service: Object, wanted: ServiceRef, field: str, title: str) -> ReferredService:
    trouble = _trouble(service, title)
    model = wanted.model or served_model.name(service)
    if model is None:
        text = f"{title} does not say under which name it serves its model; say it in {field}.model"
        return ReferredService(failure=(MODEL_UNNAMED, text))
    address = _address(service, model)
    if address is None:
        text = f"{title} has no address for model {model} in its status; its keeper finds out why (kubectl describe)"
        return ReferredService(trouble=trouble or (SERVICE_WITHOUT_ADDRESS, text))
    base = f"{address}{wanted.path or (HUGGING_FACE_API if served_model.hugging_face(service) else API)}"
    asked = not _may_sleep(service)
    health = f"{base}{HEALTH}" if asked else None
    return ReferredService(
        Provider(base, model, wanted.api_key_secret_ref, health=health), trouble=trouble, asked=asked
    )


def _may_sleep(service: Object) -> bool:
    """Whether Knative may leave it without pods: a question through its address wakes it, and keeps it awake.

    KServe makes `minReplicas` Knative's min-scale, 1 where it is left out (ksvc_reconciler.go).
    """
    annotations, status = service["metadata"].get("annotations") or {}, service.get("status") or {}
    mode = status.get("deploymentMode") or annotations.get(DEPLOYMENT_MODE)
    return (service["spec"].get("predictor") or {}).get("minReplicas") == 0 and mode not in _STANDARD


def _trouble(service: Object, title: str) -> Said | None:
    if is_terminating(service):
        return SERVICE_NOT_READY, f"{title} is being deleted"
    ready = condition(service.get("status") or {}, "Ready")
    if ready.get("status") == "True":
        return None
    said = ": ".join(str(each) for each in (ready.get("reason"), ready.get("message")) if each) or "KServe says no more"
    return SERVICE_NOT_READY, f"{title} is not ready: {said}; its keeper finds out why (kubectl describe)"


def _address(service: Object, model: str) -> str | None:
    """Where it is asked: within the cluster if it has an address there. What comes first is KServe's first choice."""
    urls = [url for url in _urls(service, model) if re.match(PROVIDER_URL, url)]
    local = (url for url in urls if "svc" in (urlsplit(url).hostname or "").split("."))
    found = next(local, urls[0] if urls else None)
    if found is None:
        return None
    parts = urlsplit(found)
    own_path = "" if resource_of(service) == INFERENCE_SERVICES else parts.path.rstrip("/")
    portless = (parts.hostname or "").split(".")[0].endswith(WORKLOAD_SERVICE) and parts.port is None
    return f"{parts.scheme}://{parts.netloc}{f':{WORKLOAD_PORT}' if portless else ''}{own_path}"


def _urls(service: Object, model: str) -> Iterator[str]:
    """Its addresses, without those at which the model has another name (a gateway's own for all of its models)."""
    status = service.get("status") or {}
    listed = status.get("addresses") or []
    for each in listed or [status.get("address") or {}, status]:
        known = [named.get("name") for named in each.get("models") or []]
        if each.get("url") and (not known or model in known):
            yield str(each["url"])
