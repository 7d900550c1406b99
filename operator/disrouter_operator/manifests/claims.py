"""Which pods mount which claim. A claim that one node alone mounts keeps pods on other nodes waiting for ever, and the
kubelet says so in the pod's Events alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from disrouter import uris
from disrouter.api import Agent, Rollout
from disrouter.names import OBJECT_NAME
from disrouter.routes import Awareness
from disrouter_operator.manifests import hub, pod_options
from disrouter_operator.manifests.cascade import Cascade
from disrouter_operator.manifests.pod_options import Options
from disrouter_operator.manifests.training import runs, trainer_pod

_KEY = "persistentVolumeClaim"
_SHARED = frozenset({"ReadWriteMany", "ReadOnlyMany"})
"""Access modes with which pods of several nodes mount a claim."""
_ONE_POD = "ReadWriteOncePod"
_HOSTNAME = "kubernetes.io/hostname"
"""Label by which a node selector names one node."""


def named(spec: Any) -> Iterator[str]:
    """Every claim that a spec names; it need not be valid."""
    return (name for name in _texts(spec) if re.fullmatch(OBJECT_NAME, name))


def confined(cascade: Cascade, modes: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Of each claim that more pods mount than can at once, if they are on several nodes: which and what to do.

    `modes` are the access modes of claims, as far as they are known.
    """
    scarce = {claim: known for claim, known in modes.items() if known and _SHARED.isdisjoint(known)}
    everybody = _users(cascade) if scarce else {}
    for claim, known in sorted(scarce.items()):
        users, one_pod = everybody.get(claim, []), _ONE_POD in known
        pods = sum(user.pods for user in users)
        if pods < 2 or (_on_one_node(users) and not one_pod):
            continue
        who = ", ".join(f"{user.who}: {user.pods}" for user in users)
        mounts = "one pod" if one_pod else "one node"
        cure = "" if one_pod else f", or keep these pods on one node (nodeSelector {_HOSTNAME} in pod and jobs.pod)"
        yield (
            f"claim {claim} is {', '.join(sorted(known))}: {mounts} alone mounts it at a time, and {pods} "
            f"pods want it ({who}); use a claim with access mode ReadWriteMany{cure}"
        )


def _texts(spec: Any) -> Iterator[str]:
    if isinstance(spec, str) and spec.startswith("pvc://"):
        yield spec.removeprefix("pvc://").partition("/")[0]
    elif isinstance(spec, list):
        for item in spec:
            yield from _texts(item)
    elif isinstance(spec, dict):
        for key, value in spec.items():
            yield from [value] if key == _KEY and isinstance(value, str) else _texts(value)


@dataclass(frozen=True)
class _User:
    """Pods that mount a claim: whose, how many at most, and the node that they are kept on."""

    who: str
    pods: int
    node: str | None


def _users(cascade: Cascade) -> dict[str, list[_User]]:
    """Claim -> who mounts it."""
    found: dict[str, list[_User]] = {}
    for index, agent in cascade.indexed():
        trained = cascade.spec.awareness(index).mode is Awareness.TRAINED
        engine = _User(f"agent {agent.name}", _pods(cascade, agent), _node(pod_options.of_agent(cascade.spec, agent)))
        for claim in _of_engine(cascade, agent, trained=trained):
            found.setdefault(claim, []).append(engine)
        for claim in _of_trainer(cascade, agent) if trained else ():
            node = _node(pod_options.of_jobs(cascade.training))
            found.setdefault(claim, []).append(_User(f"training of {agent.name}", cascade.training.jobs.nodes, node))
    return found


def _on_one_node(users: Sequence[_User]) -> bool:
    return len({user.node for user in users}) == 1 and users[0].node is not None


def _node(options: Options) -> str | None:
    return (options.options.node_selector or {}).get(_HOSTNAME)


def _of_engine(cascade: Cascade, agent: Agent, *, trained: bool) -> set[str]:
    if agent.model is None:
        return set()
    addresses = [agent.model.uri, *([agent.model.adapter] if agent.model.adapter else [])]
    claims = {uri.host for uri in map(uris.parse, addresses) if uri.scheme == "pvc"} | _cache(agent)
    return claims | ({cascade.training.artifacts.persistent_volume_claim} if trained else set())


def _of_trainer(cascade: Cascade, agent: Agent) -> set[str]:
    config = runs.run_config(cascade, agent)
    artifacts = cascade.training.artifacts.persistent_volume_claim
    return {artifacts, *trainer_pod.input_claims(config), *_cache(agent)}


def _cache(agent: Agent) -> set[str]:
    name = hub.claim(agent)
    return {name} if name is not None else set()


def _pods(cascade: Cascade, agent: Agent) -> int:
    """At most: a surge brings one more."""
    return agent.replicas.max + (cascade.spec.rollout is Rollout.SURGE)
