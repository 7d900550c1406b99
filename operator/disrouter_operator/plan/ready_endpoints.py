"""Which agents serve, by the endpoints of their Services: where kube-proxy sends requests, said as soon as it changes.

An agent serves while any of its pods does. `Ready` of an InferenceService is no measure of that: KServe takes it from
the Deployment's `Available`, which one missing pod of many turns off (inference_service_status.go). Since when an agent
serves is read from its pods' own conditions, so that an operator that starts anew knows it too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from disrouter_operator.kube.observed import Observed, condition, label
from disrouter_operator.kube.resources import ENDPOINT_SLICES, PODS, Object
from disrouter_operator.kube.timestamps import moment

SERVICE_NAME = "kubernetes.io/service-name"
"""Label of an EndpointSlice; it has the Service's labels besides (k8s.io/endpointslice, utils.go)."""


@dataclass(frozen=True)
class ReadyEndpoints:
    """The endpoints of a Service that take requests."""

    count: int = 0
    since: datetime | None = None
    """Since when at least one of them has been ready without a break, as far as their pods say."""


def of_service(observed: Observed, service: str) -> ReadyEndpoints:
    """The ready endpoints of a Service that carries our labels."""
    ready = list(_ready(observed, service))
    moments = [since for endpoint in ready if (since := _ready_since(observed, endpoint)) is not None]
    return ReadyEndpoints(len(ready), min(moments, default=None))


def _ready(observed: Observed, service: str) -> Iterator[Object]:
    """Each once: a pod stands in several slices while they are rebalanced, or where it has two addresses."""
    seen: set[str] = set()
    for piece in observed.children[ENDPOINT_SLICES].values():
        if label(piece, SERVICE_NAME) != service:
            continue
        for endpoint in piece.get("endpoints") or []:
            name = str((endpoint.get("targetRef") or {}).get("name") or endpoint.get("addresses"))
            # Absent means ready, by the API's own words.
            if (endpoint.get("conditions") or {}).get("ready") is not False and name not in seen:
                seen.add(name)
                yield endpoint


def _ready_since(observed: Observed, endpoint: Object) -> datetime | None:
    target = endpoint.get("targetRef") or {}
    pod = observed.find(PODS, str(target.get("name")))
    if pod is None or target.get("uid") not in (None, pod["metadata"].get("uid")):
        return None
    ready = condition(pod.get("status") or {}, "Ready")
    since = ready.get("lastTransitionTime")
    return moment(since) if ready.get("status") == "True" and since else None
