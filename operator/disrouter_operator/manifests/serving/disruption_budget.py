"""How many pods of a cascade a drained node may take at once: one, over all its agents.

Where each agent has one pod, a budget for each would keep nodes from ever being drained, and none at all would let a
drain take every agent at the same moment. One over all of them lets the agents go one by one: the next may go when what
went is up elsewhere, or will not be. A pod under two budgets could not be evicted at all.
"""

from __future__ import annotations

from disrouter_operator.kube.resources import POD_DISRUPTION_BUDGETS, Object
from disrouter_operator.manifests.cascade import COMPONENT_AGENT, Cascade


def budget(cascade: Cascade, lost: int) -> Object:
    """The PodDisruptionBudget of all agents' pods, of which `lost` are missing and not waited for.

    The API server counts each pod that is not ready as taken (kubernetes, disruption.go), so one that never comes up
    would hold up a drain for ever. What is lost is therefore allowed for, and the last pod that serves goes only when
    no other is about to come.
    """
    labels = cascade.labels(COMPONENT_AGENT)
    manifest = cascade.child(POD_DISRUPTION_BUDGETS, cascade.name, labels)
    manifest["spec"] = {
        "maxUnavailable": 1 + lost,
        "selector": {"matchLabels": labels},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    return manifest
