"""How many pods of a cascade a drained node may take at once: one, over all its agents.

Where each agent has one pod, a budget for each would keep nodes from ever being drained, and none at all would let a
drain take every agent at the same moment. One over all of them lets the agents go one by one, and each is up elsewhere,
or is passed over, before the next one goes. A pod under two budgets could not be evicted at all.
"""

from __future__ import annotations

from disrouter_operator.kube.resources import POD_DISRUPTION_BUDGETS, Object
from disrouter_operator.manifests.cascade import COMPONENT_AGENT, Cascade


def budget(cascade: Cascade) -> Object:
    """The PodDisruptionBudget of all agents' pods. Pods that do not serve anyway hold up nobody's drain."""
    labels = cascade.labels(COMPONENT_AGENT)
    manifest = cascade.child(POD_DISRUPTION_BUDGETS, cascade.name, labels)
    manifest["spec"] = {
        "maxUnavailable": 1,
        "selector": {"matchLabels": labels},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    return manifest
