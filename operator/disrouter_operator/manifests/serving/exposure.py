"""Ways in from outside the cluster: an HTTPRoute or an Ingress to the cascade's Service, and so to its entry alone.

Only what clients ask for is published; metrics and probes stay inside. A stream lasts as long as the sidecars allow
(`spec.timeouts`), so a Gateway is told to set no bound of its own: unasked, implementations cut after 15 or 60 seconds.
"""

from __future__ import annotations

from collections.abc import Iterator

from disrouter import names
from disrouter.api.exposure import HttpRoute, Ingress, ParentRef
from disrouter_operator.kube.resources import HTTP_ROUTES, INGRESSES, Object
from disrouter_operator.manifests.cascade import COMPONENT_ENDPOINT, Cascade

PUBLISHED = ("/v1", "/disrouter/v1")
"""Prefixes of the paths that clients ask for: the APIs, and why a request was answered as it was."""
UNBOUNDED = "0s"
"""A duration that turns a timeout of the Gateway API off (GEP-1742)."""
_GATEWAY = {"group": HTTP_ROUTES.group, "kind": "Gateway"}
"""Defaults of the API, written out: a list without them would look changed by somebody else."""


def ways_in(cascade: Cascade) -> Iterator[Object]:
    """What the manifest asks for; nothing by default."""
    route, ingress = cascade.spec.http_route, cascade.spec.ingress
    if route is not None:
        yield _http_route(cascade, route)
    if ingress is not None:
        yield _ingress(cascade, ingress)


def _http_route(cascade: Cascade, wanted: HttpRoute) -> Object:
    manifest = cascade.child(HTTP_ROUTES, cascade.name, cascade.labels(COMPONENT_ENDPOINT))
    backend = {"group": "", "kind": "Service", "name": cascade.name, "port": _port(cascade), "weight": 1}
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": prefix}} for prefix in PUBLISHED],
        "backendRefs": [backend],
        "timeouts": {"request": UNBOUNDED},
    }
    manifest["spec"] = {"parentRefs": [_parent(each) for each in wanted.parent_refs], "rules": [rule]}
    if wanted.hostnames:
        manifest["spec"]["hostnames"] = list(wanted.hostnames)
    return manifest


def _parent(wanted: ParentRef) -> Object:
    return {**_GATEWAY, **wanted.dump()}


def _ingress(cascade: Cascade, wanted: Ingress) -> Object:
    manifest = cascade.child(INGRESSES, cascade.name, cascade.labels(COMPONENT_ENDPOINT))
    if wanted.annotations:
        manifest["metadata"]["annotations"] = dict(wanted.annotations)
    backend = {"service": {"name": cascade.name, "port": {"number": _port(cascade)}}}
    paths = [{"path": prefix, "pathType": "Prefix", "backend": backend} for prefix in PUBLISHED]
    manifest["spec"] = {"rules": [{"host": host, "http": {"paths": paths}} for host in wanted.hosts]}
    if wanted.ingress_class_name is not None:
        manifest["spec"]["ingressClassName"] = wanted.ingress_class_name
    if wanted.tls_secret_name is not None:
        manifest["spec"]["tls"] = [{"hosts": list(wanted.hosts), "secretName": wanted.tls_secret_name}]
    return manifest


def _port(cascade: Cascade) -> int:
    return names.ENTRY_PORT if cascade.spec.tls is None else names.TLS_PORT
