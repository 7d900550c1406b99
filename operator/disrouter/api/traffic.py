"""How requests travel: timeouts, retries, what happens when nobody answers, under which names clients may ask, and who
may talk to whom.

Timeouts, retries, breaker, fallback, aliases and origins travel in the route table, which says their defaults and
bounds.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictBool, StrictFloat, StrictInt

from disrouter import routes
from disrouter.api.pod import Labels, ObjectName, SecretKey
from disrouter.model import Model, mirrored
from disrouter.names import MAX_AGENT

ALIAS = r"^[!-~]+$"
"""What other systems call models: `gpt-4o`, `meta-llama/Llama-3.1-8B`."""
ORIGIN = r"^(\*|https?://([-._0-9a-z]+|\[[:.0-9a-f]+\])(:[0-9]{1,5})?)$"
"""As a browser writes it, in lower case and without a path: origins are compared as texts."""
Origin = Annotated[str, Field(pattern=ORIGIN, min_length=1, max_length=256)]


class Timeouts(Model):
    """Seconds. `firstByte` bounds the wait for an agent's first byte, `idle` the gap between later ones."""

    connect: StrictFloat = mirrored(routes.Timeouts, "connect")
    first_byte: StrictFloat = mirrored(routes.Timeouts, "first_byte")
    idle: StrictFloat = mirrored(routes.Timeouts, "idle")
    chain: StrictFloat = mirrored(routes.Timeouts, "chain")
    whole: StrictFloat = mirrored(routes.Timeouts, "whole")
    """Wait for one agent's answer that is no stream and so comes all at once."""
    keep_alive: StrictFloat = mirrored(routes.Timeouts, "keep_alive")
    """Silence after which a streaming client that no agent has answered yet gets a comment, so that no proxy between
    cuts it off, and again each time as long. Its status is then 200 and its headers name no path. 0: never."""


class Retries(Model):
    """How much extra load retries and failovers may make: `ratio` of the requests, never less than `burst` at once."""

    ratio: StrictFloat = mirrored(routes.Retries, "ratio")
    burst: StrictInt = mirrored(routes.Retries, "burst")


class Breaker(Model):
    """When a failing agent is left alone: after `failures` in a row, for `openSeconds`, then one probe decides."""

    failures: StrictInt = mirrored(routes.Breaker, "failures")
    open_seconds: StrictFloat = mirrored(routes.Breaker, "open_seconds")


class Fallback(Model):
    """What a request gets when every agent that could still answer has failed."""

    policy: routes.FallbackPolicy = mirrored(routes.Fallback, "policy")
    """`best-effort`: the costliest agent before them that is up must answer; `fail`: 503 with Retry-After."""
    retry_after: StrictInt = mirrored(routes.Fallback, "retry_after")
    """Seconds that a 503 asks its client to wait."""


class Alias(Model):
    """Another name that clients may ask for."""

    name: str = Field(pattern=ALIAS, min_length=1, max_length=256)
    """What a request may say as `model`; not the cascade's own name, nor what begins with it and `/`."""
    agent: str | None = Field(default=None, max_length=MAX_AGENT)
    """The agent that must answer; absent: the cascade routes, as for its own name."""


class Cors(Model):
    """Which web pages may ask, and read the answer (cross-origin resource sharing)."""

    origins: tuple[Origin, ...] = Field(default=(), max_length=32)
    """Where they come from: `https://host`, `https://host:port`, or `*` for everywhere; empty: from nowhere."""


class Auth(Model):
    """Keys and tokens, by reference to Secrets of the cascade's namespace; a changed Secret needs no restart."""

    api_keys_secret: ObjectName | None = None
    """Secret whose every value is an API key that clients may present as a bearer; absent: no key is asked for."""
    hop_token_secret_ref: SecretKey | None = None
    """Bearer that sidecars show each other, so that nobody else can send internal headers."""
    anonymous: StrictBool = False
    """Publish the cascade (`httpRoute`, `ingress`) without keys: whoever reaches it may use its GPUs. For a Gateway
    that asks for identities itself."""


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
