"""Rules on how agents are served: what each way to run them can do, and what is not the manifest's to set."""

from __future__ import annotations

from collections.abc import Iterator

from disrouter.api.agent import ENGINE_OWNED_ENV, Agent, Autoscaler, Autoscaling, ScaleMetric
from disrouter.api.spec import CascadeSpec, DeploymentMode
from disrouter.errors import Violation
from disrouter.names import FRAMING_HEADERS

_UTILISATION = (ScaleMetric.CPU, ScaleMetric.MEMORY)
MAX_PERCENT = 100
"""KServe's webhook refuses more (inference_service_validation.go, validateScalingHPACompExtension)."""


def violations(spec: CascadeSpec) -> Iterator[Violation]:
    """Every broken rule."""
    knative = spec.deployment_mode is DeploymentMode.KNATIVE
    if knative:
        yield from _behind_a_gateway(spec)
    for index, agent in enumerate(spec.agents):
        field = f"spec.agents[{index}]"
        yield from _asked(field, agent.autoscaling)
        if agent.served_elsewhere:
            yield from _served_elsewhere(field, agent)
            yield from _sidecar_scale(field, agent)
        elif knative:
            yield from _knative_scale(field, agent)
        else:
            yield from _standard_scale(field, agent)
        for place, variable in enumerate(agent.engine.env):
            if variable.name in ENGINE_OWNED_ENV:
                yield Violation(f"{field}.engine.env[{place}]", f"{variable.name} is not yours to set; remove it")


def _behind_a_gateway(spec: CascadeSpec) -> Iterator[Violation]:
    """Knative's gateway stands before every agent: it speaks plain HTTP to pods, and every caller has its address."""
    if spec.tls is not None:
        yield Violation("spec.tls", "needs deploymentMode Standard; Knative's gateway has certificates of its own")
    if spec.network_policy.enabled:
        yield Violation(
            "spec.networkPolicy.enabled",
            "needs deploymentMode Standard; behind Knative's gateway all callers look alike",
        )


def _asked(field: str, scaling: Autoscaling | None) -> Iterator[Violation]:
    """Who asks Prometheus, and for what."""
    if scaling is None:
        return
    keda, prometheus = scaling.autoscaler is Autoscaler.KEDA, scaling.prometheus is not None
    if (scaling.query is not None and not prometheus) or (prometheus and not keda):
        yield Violation(f"{field}.autoscaling", "query needs prometheus, and prometheus needs autoscaler keda")
    if prometheus and scaling.query is None and scaling.metric in _UTILISATION:
        yield Violation(
            f"{field}.autoscaling.prometheus",
            f"{scaling.metric} is not asked of it; remove it, or use concurrency, rps or a query",
        )


def _standard_scale(field: str, agent: Agent) -> Iterator[Violation]:
    scaling = agent.autoscaling
    kind = scaling.autoscaler if scaling is not None else None
    if agent.replicas.min == 0 and kind not in (Autoscaler.KEDA, Autoscaler.EXTERNAL):
        yield Violation(
            f"{field}.replicas.min", "only Knative, keda or an external autoscaler goes to 0; use 1 or more"
        )
    if scaling is None:
        return
    if agent.replicas.min == 0 and kind is Autoscaler.KEDA and scaling.prometheus is None:
        yield Violation(
            f"{field}.autoscaling.prometheus",
            "keda wakes an agent from 0 by what Prometheus says only; give its address",
        )
    if scaling.metric not in (None, *_UTILISATION) and kind is not Autoscaler.HPA and scaling.prometheus is None:
        yield Violation(
            f"{field}.autoscaling.metric",
            f"{scaling.metric} needs the autoscaler keda and prometheus, hpa, or Knative; use cpu or memory otherwise",
        )


def _knative_scale(field: str, agent: Agent) -> Iterator[Violation]:
    """Knative scales every revision itself, by a metric of its own."""
    kind = agent.autoscaling.autoscaler if agent.autoscaling is not None else None
    if kind in (Autoscaler.KEDA, Autoscaler.EXTERNAL):
        yield Violation(
            f"{field}.autoscaling.autoscaler", f"{kind} needs deploymentMode Standard; leave it out and give a metric"
        )
    if agent.autoscaling is None or agent.autoscaling.metric not in _UTILISATION:
        return
    if agent.replicas.min == 0:
        yield Violation(
            f"{field}.replicas.min", "Knative never goes to 0 by cpu or memory; use 1 or more, or concurrency or rps"
        )
    if agent.autoscaling.target > MAX_PERCENT:
        yield Violation(f"{field}.autoscaling.target", "is a percentage for cpu and memory; use 1 to 100")


def _served_elsewhere(field: str, agent: Agent) -> Iterator[Violation]:
    """Another's engine is not ours to set, and a connection's headers are nobody's."""
    if agent.resources is not None:
        yield Violation(
            f"{field}.resources", "an agent that is served elsewhere has no engine here that could use them; remove it"
        )
    for name, given in (("args", agent.engine.args), ("env", agent.engine.env)):
        if given:
            yield Violation(f"{field}.engine.{name}", "an agent that is served elsewhere has no engine here; remove it")
    for place, header in enumerate(agent.external.headers if agent.external is not None else ()):
        if header.name.lower() in FRAMING_HEADERS:
            yield Violation(f"{field}.external.headers[{place}].name", f"{header.name} cannot be set; remove it")


def _sidecar_scale(field: str, agent: Agent) -> Iterator[Violation]:
    """A Deployment of the sidecar alone is disrouter's own: KServe makes no autoscaler for it."""
    scaling, replicas = agent.autoscaling, agent.replicas
    if scaling is not None and scaling.autoscaler is Autoscaler.EXTERNAL:
        return
    fixed = scaling is None or scaling.autoscaler is Autoscaler.NONE
    if not fixed or replicas.min < replicas.max or replicas.min == 0:
        yield Violation(
            f"{field}.autoscaling",
            "an agent that is served elsewhere has as many pods as replicas.min and max agree on (1 or more), or "
            "autoscaler external and an autoscaler of your own on its Deployment",
        )
