"""How clients outside the cluster reach a cascade: by a route of a Gateway, or by an Ingress.

Fields are named as in the Gateway API (gateway.networking.k8s.io/v1) and networking.k8s.io/v1.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictInt

from disrouter.api.pod import ObjectName, QualifiedName, Text
from disrouter.model import Model
from disrouter.names import SUBDOMAIN

HOSTNAME = rf"^(\*\.)?{SUBDOMAIN}$"
"""As both APIs take it; a wildcard stands for the first label."""
NAMESPACE = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"

Hostname = Annotated[str, Field(pattern=HOSTNAME, max_length=253)]
Annotations = Annotated[dict[QualifiedName, Text], Field(max_length=32)]


class ParentRef(Model):
    """A Gateway that takes the route."""

    name: ObjectName
    namespace: str | None = Field(default=None, pattern=NAMESPACE, max_length=63)
    """Of the Gateway; absent: the cascade's. A Gateway says itself which namespaces' routes it takes."""
    section_name: ObjectName | None = None
    """One of its listeners, for example the one with TLS; absent: each that takes the route."""
    port: StrictInt | None = Field(default=None, ge=1, le=65535)
    """The listeners on this port alone."""


class HttpRoute(Model):
    """A route of the Gateway API to the entry. TLS towards clients is the Gateway's listener's."""

    parent_refs: tuple[ParentRef, ...] = Field(min_length=1, max_length=8)
    """Gateways, or their listeners."""
    hostnames: tuple[Hostname, ...] = Field(default=(), max_length=16)
    """Names under which clients ask; absent: those of the listeners."""


class Ingress(Model):
    """An Ingress to the entry, for clusters without a Gateway."""

    ingress_class_name: ObjectName | None = None
    """Absent: the cluster's default class."""
    hosts: tuple[Hostname, ...] = Field(min_length=1, max_length=16)
    """Names under which clients ask."""
    tls_secret_name: ObjectName | None = None
    """Secret with the certificate for these hosts; absent: no TLS towards clients."""
    annotations: Annotations | None = None
    """For the controller, as each has its own names for timeouts of streams and sizes of bodies."""
