"""How requests travel: timeouts, retries, what happens when nobody answers, and who may talk to whom."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from disrouter import routes
from disrouter.api.pod import Labels, ObjectName, SecretKey
from disrouter.model import Model

_WRITTEN = ConfigDict(extra="forbid")
"""Manifests are checked strictly; only sidecars ignore what they do not know."""


class Timeouts(routes.Timeouts):
    """Seconds. `firstByte` bounds the wait for an agent's first byte, `idle` the gap between later ones."""

    model_config = _WRITTEN


class Retries(routes.Retries):
    """How much extra load retries and skips may make. `ratio` of the requests, never less than `burst` at once."""

    model_config = _WRITTEN


class Breaker(routes.Breaker):
    """When a failing agent is left alone: after `failures` in a row, for `openSeconds`, then one probe decides."""

    model_config = _WRITTEN


class Fallback(routes.Fallback):
    """What a request gets when every agent that could still answer has failed."""

    model_config = _WRITTEN


class Auth(Model):
    """Keys and tokens, by reference to Secrets of the cascade's namespace; a changed Secret needs no restart."""

    api_keys_secret: ObjectName | None = None
    """Secret whose every value is an API key that clients may present as a bearer; absent: no key is asked for."""
    hop_token_secret_ref: SecretKey | None = None
    """Bearer that sidecars show each other, so that nobody else can send internal headers."""


class Tls(Model):
    """TLS from sidecar to sidecar and from clients to the entry."""

    secret_name: ObjectName
    """Secret with `tls.crt`, `tls.key` and `ca.crt` (as cert-manager writes it), valid for the agents' host names."""


class Peers(Model):
    """Pods by labels, in namespaces by labels; an absent selector means all."""

    namespace_labels: Labels | None = None
    pod_labels: Labels | None = None


class NetworkPolicy(Model):
    """Who may reach the agents: the entry its clients, each later agent only those that route to it."""

    enabled: bool = False
    clients: tuple[Peers, ...] = Field(default=(), max_length=16)
    """Who may reach the entry; empty: everybody."""
    metrics: tuple[Peers, ...] = Field(default=(), max_length=16)
    """Who else may reach every sidecar's port to read metrics."""
