"""Flags of the operator process, each also an environment variable: `--sidecar-image`, DISROUTER_SIDECAR_IMAGE."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from disrouter.listening import ANY_ADDRESS
from disrouter.names import CLUSTER_DOMAIN, SUBDOMAIN
from disrouter_operator.errors import InvalidSettings
from disrouter_operator.kube.leader_election import LEASE_NAME
from disrouter_operator.settings import SIDECAR_IMAGE, TRAINING_IMAGE, OperatorPods


def _pairs(text: str) -> str:
    wrong = [each for each in _split(text) if not all(each.partition("="))]
    if wrong:
        raise ValueError(f"{wrong[0]!r} must be name=value")
    return text


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


class Flags(BaseSettings):
    """The control plane of disrouter. A flag outranks its variable of the environment, DISROUTER_ and its name."""

    model_config = SettingsConfigDict(
        env_prefix="DISROUTER_",
        env_ignore_empty=True,
        extra="ignore",
        cli_prog_name="disrouter_operator",
        cli_kebab_case=True,
        cli_hide_none_type=True,
    )

    namespaces: str = Field(default="", description="comma-separated; empty: all")
    sidecar_image: str = Field(default=SIDECAR_IMAGE, description="of agents' sidecars")
    training_image: str = Field(default=TRAINING_IMAGE, description="of trainers, where a cascade names none")
    roll_agents: bool = Field(
        default=False,
        description="true: a new --sidecar-image replaces running agents' sidecars at once, not with their next change",
    )
    smoke: bool = Field(
        default=True,
        description="false: a surge's new pods get requests without a question, for an operator that cannot reach them",
    )
    cluster_domain: str = Field(
        default=CLUSTER_DOMAIN, pattern=f"^{SUBDOMAIN}$", description="of Services' names, as the cluster's DNS has it"
    )
    operator_namespace: str = Field(
        default="",
        description="of the operator's own pods, which NetworkPolicies let in where a surge asks its new pods",
    )
    operator_labels: Annotated[str, AfterValidator(_pairs)] = Field(
        default="", description="name=value,... that select these pods; empty: no policy lets them in by itself"
    )
    host: str = Field(default=ANY_ADDRESS, description="address of /healthz, /readyz and /metrics")
    port: int = Field(default=8080, ge=0, le=65535, description="their port")
    resync_seconds: float = Field(
        default=300.0, ge=1, le=3600, description="every cascade is looked at once in so long, whatever the watches say"
    )
    workers: int = Field(default=4, ge=1, le=64, description="cascades that are worked on at the same time")
    qps: float = Field(default=100.0, ge=1, le=10000, description="requests per second to the API server")
    burst: float = Field(default=200.0, ge=1, le=10000, description="requests at once before --qps")
    lease_namespace: str = Field(default="", description="where the leader's Lease lives; empty: no election")
    lease_name: str = Field(default=LEASE_NAME, description="its name")
    lease_seconds: float = Field(
        default=15.0,
        ge=1,
        le=300,
        description="a leader that is silent for so long is replaced; it renews four times as often",
    )
    identity: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}",
        description="of this replica in the Lease, and the pod of which Events tell how the operator fares",
    )
    pod_uid: str = Field(default="", description="by which `kubectl describe` finds them")
    log_level: str = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR")

    @property
    def watched_namespaces(self) -> tuple[str, ...]:
        """Empty: the whole cluster."""
        return _split(self.namespaces)

    @property
    def operator_pods(self) -> OperatorPods | None:
        """The operator's own pods; None where nobody said which they are."""
        pairs = [each.partition("=") for each in _split(self.operator_labels)]
        labels = {name: value for name, _, value in pairs}
        return OperatorPods(self.operator_namespace, labels) if self.operator_namespace and labels else None


def read(argv: Sequence[str]) -> Flags:
    """Flags and environment. Raises InvalidSettings that names the flag, its value and what is wrong."""
    try:
        return Flags(_cli_parse_args=list(argv))
    except ValidationError as error:
        found = error.errors()[0]
        flag = str(found["loc"][0]).replace("_", "-")
        words = str(found["msg"]).removeprefix("Value error, ")
        raise InvalidSettings(f"--{flag} {found['input']!r}: {words}") from None
