"""Who may reach the agents: the entry its clients, each agent those whose requests may come to it, nobody an engine.

A policy that selects a pod refuses what no rule of it allows, so the engine's port, on which adapters can be loaded, is
closed by not being named. The kubelet's probes always pass. Only Standard mode: behind Knative's gateway every caller
has the gateway's address.
"""

from __future__ import annotations

from collections.abc import Iterable

from disrouter import names
from disrouter.api import Rollout
from disrouter.api.traffic import Peers
from disrouter.routes import RouteTable
from disrouter_operator.kube.resources import NETWORK_POLICIES, Object
from disrouter_operator.manifests.cascade import COMPONENT_AGENT, Cascade
from disrouter_operator.settings import OperatorPods, Settings


def policies(cascade: Cascade, table: RouteTable, settings: Settings) -> list[Object]:
    """A NetworkPolicy for each agent in the route table; none where the manifest does not ask for them."""
    if not cascade.spec.network_policy.enabled:
        return []
    surges = cascade.spec.rollout is Rollout.SURGE and settings.smoke is not None
    asker = settings.operator_pods if surges else None
    return [_policy(cascade, table, agent, asker) for agent in table.agents]


def callers(table: RouteTable, agent: str) -> list[str]:
    """Agents that may send a request to `agent`: all before it on a route, since failing agents are passed over, and
    the entrypoint, which takes requests that pin an agent."""
    before = {name for name in table.agents if agent in _reached(table, name)}
    return sorted((before | {table.entrypoint}) - {agent})


def _reached(table: RouteTable, start: str) -> set[str]:
    """Every agent behind `start`, by refusals and by jumps."""
    found: set[str] = set()
    left = [start]
    while left:
        route = table.agents[left.pop()]
        jump = route.probability.jump if route.probability is not None else None
        for name in (route.next, jump.to if jump is not None else None):
            if name is not None and name not in found:
                found.add(name)
                left.append(name)
    return found


def _policy(cascade: Cascade, table: RouteTable, agent: str, asker: OperatorPods | None) -> Object:
    labels = cascade.labels(COMPONENT_AGENT, agent)
    manifest = cascade.child(NETWORK_POLICIES, cascade.agent_object(agent), labels)
    manifest["spec"] = {
        "podSelector": {"matchLabels": labels},
        "policyTypes": ["Ingress"],
        "ingress": _ingress(cascade, table, agent, asker),
    }
    return manifest


def _ingress(cascade: Cascade, table: RouteTable, agent: str, asker: OperatorPods | None) -> list[Object]:
    port: Object = {"ports": [{"port": names.SIDECAR_PORT, "protocol": "TCP"}]}
    policy = cascade.spec.network_policy
    if agent == table.entrypoint and not policy.clients:
        return [port]
    peers = [*_agents(cascade, callers(table, agent)), *_peers(policy.metrics)]
    if agent == table.entrypoint:
        peers += _peers(policy.clients)
    if asker is not None:
        peers.append(_operator(asker))
    return [{"from": peers, **port}] if peers else []


def _agents(cascade: Cascade, agents: list[str]) -> list[Object]:
    """Pods of agents of this cascade, in its own namespace."""
    if not agents:
        return []
    chosen = {"key": names.LABEL_AGENT, "operator": "In", "values": agents}
    labels = cascade.labels(COMPONENT_AGENT)
    return [{"podSelector": {"matchLabels": labels, "matchExpressions": [chosen]}}]


def _operator(pods: OperatorPods) -> Object:
    """The operator's pods, which ask the new pods of a surge a question. API servers label namespaces by their name."""
    return {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": pods.namespace}},
        "podSelector": {"matchLabels": dict(pods.labels)},
    }


def _peers(peers: Iterable[Peers]) -> list[Object]:
    return [
        {
            "namespaceSelector": {"matchLabels": dict(each.namespace_labels or {})},
            "podSelector": {"matchLabels": dict(each.pod_labels or {})},
        }
        for each in peers
    ]
