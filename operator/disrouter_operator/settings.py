"""What an installation decides once, as opposed to what each cascade decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from disrouter import __version__, names
from disrouter_operator.smoke_probe import Smoke

SIDECAR_IMAGE = f"ghcr.io/disrouter/sidecar:{__version__}"
TRAINING_IMAGE = f"ghcr.io/disrouter/training:{__version__}"


@dataclass(frozen=True)
class OperatorPods:
    """Where the operator's own pods are found, so that policies can let them in."""

    namespace: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Settings:
    """Inputs of every reconcile besides the cascade itself."""

    sidecar_image: str = SIDECAR_IMAGE
    training_image: str = TRAINING_IMAGE
    """Trainer image of cascades that name none; no part of a run's identity."""
    roll_agents: bool = False
    """Give running agents `sidecar_image` at once, each by its rollout, instead of with their next change."""
    service_url: Callable[[str, str], str] = names.service_url
    """Address of a Service by name and namespace, without a path."""
    smoke: Smoke | None = None
    """How the new pods of a surge are asked a question before anybody else does; None: their probes are believed."""
    operator_pods: OperatorPods | None = None
    """Who asks that question; None: nobody knows, so a policy of the cascade must name them."""
