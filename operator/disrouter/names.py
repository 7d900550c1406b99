"""Names on the wire: labels, headers, object names. One place, so that a rename is one edit."""

from __future__ import annotations

import hashlib
import re

GROUP = "disrouter.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "SelfRoutingCascade"
PLURAL = "selfroutingcascades"
FIELD_MANAGER = "disrouter"

LABEL_CASCADE = f"{GROUP}/cascade"
LABEL_AGENT = f"{GROUP}/agent"
LABEL_RUN = f"{GROUP}/run"
LABEL_STAGE = f"{GROUP}/stage"
LABEL_COMPONENT = f"{GROUP}/component"
LABEL_SERVING = f"{GROUP}/serving"
"""On the Job of `evaluate`: the run that it compares with, or `base`."""
LABEL_WORKLOAD = f"{GROUP}/workload"
"""On an agent's workload and so on its pods: the workload's name, which tells two that serve one agent apart."""

BASE = "base"
"""In the place of a run: the model as it came."""

ANNOTATION_RETRAIN = f"{GROUP}/retrain"
"""On a cascade: another value trains every agent again; `disrouter.io/retrain.<agent>` that agent alone."""

HEADER_PREFIX = "x-disrouter-"
HEADER_SCENARIO = "x-disrouter-scenario"
HEADER_PREFERENCE = "x-disrouter-preference"
HEADER_AGENT = "x-disrouter-agent"
HEADER_PATH = "x-disrouter-path"
HEADER_HOPS = "x-disrouter-hops"
HEADER_DEADLINE = "x-disrouter-deadline"
HEADER_REFUSED = "x-disrouter-refused-usage"
HEADER_DECISIONS = "x-disrouter-decisions"
HEADER_REQUEST_ID = "x-request-id"
FRAMING_HEADERS = ("host", "content-length", "transfer-encoding", "connection", "content-type", "accept-encoding")
"""Headers that belong to a connection or a body: nobody may set them for a provider."""

ENTRY_PORT = 80
TLS_PORT = 443
SIDECAR_PORT = 8080
ENGINE_PORT = 8081

MAX_CHILD = 48
"""KServe prefixes and suffixes the name of an InferenceService; 48 leaves it room under the 63 of a DNS label."""
MAX_CHILD_WITH_NAMESPACE = 52
"""Longest InferenceService name plus namespace that KServe's host names accept."""
MAX_NAMESPACE = 36
"""Longest namespace that leaves an InferenceService's name 16 characters: a few readable ones and the hash."""
MAX_JOB = 47
"""Longest name of a Job: its pods' host names carry an index, and JobSet adds its own (`-node-0-63-x4k2p`)."""
MAX_CASCADE = 40
MAX_AGENT = 20

DNS_LABEL = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
"""Part of a pattern: what claims and Secrets may be called, at most 253 characters."""
OBJECT_NAME = f"^{SUBDOMAIN}$"
_DNS_LABEL = re.compile(DNS_LABEL)


def is_dns_label(text: str) -> bool:
    """Whether `text` can name a Service: lower case letters, digits and dashes, a letter first, at most 63."""
    return len(text) <= 63 and _DNS_LABEL.fullmatch(text) is not None


def child(*parts: str, limit: int = MAX_CHILD) -> str:
    """`a-b-c`, or its head and eight hex digits of its hash when that is longer than `limit`."""
    name = "-".join(parts)
    if len(name) <= limit:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: limit - 9].rstrip('-')}-{digest}"


def agent_object(namespace: str, cascade: str, agent: str, *revision: str) -> str:
    """Name of an agent's InferenceService, or of its Deployment and Service when it is served elsewhere.

    KServe joins name and namespace in host names, so a long namespace leaves less room (name + namespace <= 52).
    `revision` is given for an InferenceService that comes up beside the one that serves.
    """
    return child(cascade, agent, *revision, limit=min(MAX_CHILD, MAX_CHILD_WITH_NAMESPACE - len(namespace)))


def predictor(inference_service: str) -> str:
    """Name of the Deployment and of the Service that KServe makes for an InferenceService in Standard mode."""
    return f"{inference_service}-predictor"


def routes_config_map(cascade: str) -> str:
    """Name of the ConfigMap that holds the route table."""
    return child(cascade, "routes", limit=63)


def training_job(cascade: str, agent: str, stage: str, run: str) -> str:
    """Name of a stage's Job; the run's hash makes it unique to its inputs, so it is never patched."""
    return child(cascade, agent, stage, run, limit=MAX_JOB)


def run_config_map(cascade: str, agent: str, run: str) -> str:
    """Name of the immutable ConfigMap with a run's `run.json`."""
    return child(cascade, agent, "run", run, limit=63)


CLUSTER_DOMAIN = "cluster.local"
"""What clusters call themselves in DNS, unless their installer chose another name."""


def service_url(service: str, namespace: str, port: int = 80, domain: str = CLUSTER_DOMAIN) -> str:
    """In-cluster address of a Service, without a path."""
    return f"http://{service}.{namespace}.svc.{domain}" + ("" if port == 80 else f":{port}")
