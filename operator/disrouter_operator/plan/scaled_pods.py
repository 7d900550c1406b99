"""How many pods the InferenceServices of an agent have: their autoscalers, and what is written to their scale."""

from __future__ import annotations

from dataclasses import dataclass

from disrouter import names
from disrouter.api import Agent, DeploymentMode
from disrouter_operator.kube.resources import DEPLOYMENTS, Object
from disrouter_operator.manifests.serving import autoscaler, scaling
from disrouter_operator.plan.context import Context
from disrouter_operator.plan.rollout import Placement


@dataclass(frozen=True)
class ScaledPods:
    """What makes an agent's pods as many as they should be."""

    autoscalers: tuple[Object, ...] = ()
    scales: tuple[Object, ...] = ()
    """Scales to write: of Deployments that have too many pods or too few."""


def of_placement(context: Context, agent: Agent, placement: Placement) -> ScaledPods:
    """For the wanted InferenceService, and for the one that serves until it is up, unless KServe scales that; Knative
    counts by itself.

    What comes up beside another gets as many pods as that has, or the move would take capacity away under load.
    """
    if context.cascade.spec.deployment_mode is not DeploymentMode.STANDARD:
        return ScaledPods()
    beside = _deployment(context, placement.routed) if placement.moving else None
    floor = int(beside["spec"].get("replicas", 1)) if beside is not None else 0
    floors = [(placement.desired, floor)]
    if placement.moving and scaling.left_to_us(placement.routed):
        floors.append((placement.routed, 0))
    autoscalers = (autoscaler.of_workload(context.cascade, agent, each, least) for each, least in floors)
    scales = (
        scaling.scale(agent, live, least) for each, least in floors if (live := _deployment(context, each)) is not None
    )
    return ScaledPods(
        tuple(each for each in autoscalers if each is not None), tuple(each for each in scales if each is not None)
    )


def _deployment(context: Context, inference_service: Object) -> Object | None:
    """What KServe made of an InferenceService."""
    return context.observed.find(DEPLOYMENTS, names.predictor(inference_service["metadata"]["name"]))
