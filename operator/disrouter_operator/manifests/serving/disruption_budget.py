"""How many pods of an agent a drained node may take at once: one, where the agent has pods to spare."""

from __future__ import annotations

from disrouter.api import Agent
from disrouter_operator.kube.resources import POD_DISRUPTION_BUDGETS, Object
from disrouter_operator.manifests.cascade import COMPONENT_AGENT, Cascade

LEAST_PODS = 2
"""With one pod a budget would only stop nodes from being drained."""


def budget(cascade: Cascade, agent: Agent) -> Object | None:
    """The PodDisruptionBudget of an agent that always has several pods, else None."""
    if agent.replicas.min < LEAST_PODS:
        return None
    labels = cascade.labels(COMPONENT_AGENT, agent.name)
    manifest = cascade.child(POD_DISRUPTION_BUDGETS, cascade.agent_object(agent.name), labels)
    manifest["spec"] = {"maxUnavailable": 1, "selector": {"matchLabels": labels}}
    return manifest
