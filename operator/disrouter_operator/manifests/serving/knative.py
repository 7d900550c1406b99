"""What Knative is told of an agent: by which autoscaler and metric, how long a start may take, and a request.

KServe's webhook reads the autoscaler's class on the InferenceService itself, from where it reaches the revision
(inference_service_validation.go); the deadline belongs to the revision's annotations.
"""

from __future__ import annotations

import math

from disrouter import names
from disrouter.api import Agent, CascadeSpec, DeploymentMode
from disrouter.api.agent import ScaleMetric
from disrouter_operator.kube.resources import Object

CLASS = "autoscaling.knative.dev/class"
HPA = "hpa.autoscaling.knative.dev"
PROGRESS_DEADLINE = "serving.knative.dev/progress-deadline"
QUEUE_PORT = 8012
"""Of queue-proxy, which counts requests, holds to their number and waits for them; past it Knative scales by nothing
(networking.BackendHTTPPort)."""


def service_annotations(agent: Agent) -> dict[str, str]:
    """Annotations of the InferenceService; Knative's own autoscaler knows neither CPU nor memory."""
    scaling = agent.autoscaling
    return {CLASS: HPA} if scaling is not None and scaling.metric in (ScaleMetric.CPU, ScaleMetric.MEMORY) else {}


def revision_annotations(start_seconds: int) -> dict[str, str]:
    """Annotations of the pods: Knative gives a revision up after ten minutes, unasked."""
    return {PROGRESS_DEADLINE: f"{start_seconds}s"}


def fields(spec: CascadeSpec) -> Object:
    """Fields of the predictor: Knative cuts a request after five minutes, unasked, streams too."""
    return {"timeout": math.ceil(spec.timeouts.chain)}


def entry_port(spec: CascadeSpec, agent: Agent) -> int:
    """The port of an agent's pods that the cascade's Service leads to; in Standard mode the sidecar's."""
    behind_queue = spec.deployment_mode is DeploymentMode.KNATIVE and not agent.served_elsewhere
    return QUEUE_PORT if behind_queue else names.SIDECAR_PORT
