"""What a container needs to fetch a model from the Hub: its token, and a claim where what is fetched is kept.

The variables are huggingface_hub's; vLLM, transformers and datasets heed them alike. Its cache may be shared: a file is
written beside its place and moved there, under a lock.
"""

from __future__ import annotations

from disrouter.api import Agent
from disrouter.api.rules.hub import HF_HOME, HF_TOKEN
from disrouter_operator.kube.resources import Object

MOUNT = "/mnt/hub"
VOLUME = "hub-cache"


def variables(agent: Agent) -> list[Object]:
    """Environment; empty where the manifest says nothing of the Hub."""
    model, found = agent.model, list[Object]()
    if model is not None and model.token_secret_ref is not None:
        found.append({"name": HF_TOKEN, "valueFrom": {"secretKeyRef": model.token_secret_ref.dump()}})
    if claim(agent) is not None:
        found.append({"name": HF_HOME, "value": MOUNT})
    return found


def mounts(agent: Agent) -> list[Object]:
    """Where the cache lies in the container."""
    return [{"name": VOLUME, "mountPath": MOUNT}] if claim(agent) is not None else []


def volumes(agent: Agent) -> list[Object]:
    """The claim, which whoever comes first fills."""
    name = claim(agent)
    return [{"name": VOLUME, "persistentVolumeClaim": {"claimName": name}}] if name is not None else []


def claim(agent: Agent) -> str | None:
    """The claim of the agent's cache."""
    cache = agent.model.cache if agent.model is not None else None
    return cache.persistent_volume_claim if cache is not None else None
