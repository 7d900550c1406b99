"""Who may reach whom: a NetworkPolicy for each agent, from the route table."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from disrouter import names
from disrouter.calibration import Calibration, CalibrationPoint
from disrouter.routes import AgentRoute, Awareness, JumpRoute, ProbabilityRoute, RouteTable
from disrouter_operator.kube.resources import NETWORK_POLICIES, Object
from disrouter_operator.manifests.serving.network_policy import callers
from disrouter_operator.reconcile.smoke_http import over_http
from disrouter_operator.settings import OperatorPods, Settings
from support import clusters
from support.scenes import SETTINGS, Scene

ENABLED: Object = {
    "enabled": True,
    "clients": [{"namespaceLabels": {"team": "apps"}, "podLabels": {"app": "chat"}}],
    "metrics": [{"namespaceLabels": {"team": "monitoring"}}],
}


def _route(next_: str | None, jump: str | None = None) -> AgentRoute:
    calibration = Calibration(token="I", points=(CalibrationPoint(refusal=0, competence=1),))
    probability = ProbabilityRoute(calibration=calibration, jump=JumpRoute(to=jump, below=0.1)) if jump else None
    return AgentRoute(url="http://x", cost=0, awareness=Awareness.PROMPTED, next=next_, probability=probability)


def test_an_agent_is_called_by_all_before_it_on_a_route_by_those_that_skip_to_it_and_by_the_entry() -> None:
    routes = {
        "tiny": _route("large"),
        "small": _route("coder", jump="expert"),
        "coder": _route("large"),
        "expert": _route("large"),
        "large": _route(None),
    }
    table = RouteTable(generation=1, cascade="qwen", entrypoint="small", agents=routes)
    assert {name: callers(table, name) for name in routes} == {
        "tiny": ["small"],
        "small": [],
        "coder": ["small"],
        "expert": ["small"],
        "large": ["coder", "expert", "small", "tiny"],
    }


async def test_each_agent_admits_its_callers_and_the_entry_its_clients() -> None:
    scene = await _serving(ENABLED)
    own = {"matchLabels": {names.LABEL_CASCADE: "qwen", names.LABEL_COMPONENT: "agent"}}
    metrics = {"namespaceSelector": {"matchLabels": {"team": "monitoring"}}, "podSelector": {"matchLabels": {}}}
    clients = {
        "namespaceSelector": {"matchLabels": {"team": "apps"}},
        "podSelector": {"matchLabels": {"app": "chat"}},
    }

    def agents(*values: str) -> Object:
        chosen = {"key": names.LABEL_AGENT, "operator": "In", "values": list(values)}
        return {"podSelector": {**own, "matchExpressions": [chosen]}}

    assert _sources(scene, "small") == [metrics, clients]
    assert _sources(scene, "medium") == [agents("small"), metrics]
    assert _sources(scene, "large") == [agents("medium", "small"), metrics]


async def test_only_the_sidecars_port_is_open() -> None:
    scene = await _serving(ENABLED)
    for agent in ("small", "medium", "large"):
        policy = scene.kube.one(NETWORK_POLICIES, f"qwen-{agent}")["spec"]
        assert policy["policyTypes"] == ["Ingress"]
        assert policy["podSelector"]["matchLabels"][names.LABEL_AGENT] == agent
        assert [rule["ports"] for rule in policy["ingress"]] == [[{"port": names.SIDECAR_PORT, "protocol": "TCP"}]]


async def test_without_named_clients_everybody_reaches_the_entry_and_nobody_else() -> None:
    scene = await _serving({"enabled": True})
    assert "from" not in scene.kube.one(NETWORK_POLICIES, "qwen-small")["spec"]["ingress"][0]
    assert len(_sources(scene, "medium")) == 1


async def test_the_operator_reaches_the_pods_that_it_asks_where_it_knows_its_own() -> None:
    pods = OperatorPods("disrouter", {"app": "operator"})
    operator = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "disrouter"}},
        "podSelector": {"matchLabels": {"app": "operator"}},
    }
    asking = replace(SETTINGS, smoke=over_http, operator_pods=pods)
    surging = await _serving(ENABLED, asking, rollout="surge")
    assert all(_sources(surging, agent)[-1] == operator for agent in ("small", "medium", "large"))
    for settings, rollout in (
        (asking, "recreate"),
        (replace(asking, smoke=None), "surge"),
        (replace(asking, operator_pods=None), "surge"),
    ):
        scene = await _serving(ENABLED, settings, rollout=rollout)
        assert all(operator not in _sources(scene, agent) for agent in ("small", "medium", "large"))


async def test_clients_follow_the_entry() -> None:
    scene = Scene(clusters.example(networkPolicy=ENABLED))
    await scene.run()
    scene.serve("medium", "large")
    await scene.run()
    assert scene.table().entrypoint == "medium"
    assert len(_sources(scene, "medium")) == 3
    assert [name for _, kind, name in scene.kube.writes if kind in ("NetworkPolicy", "Service")][-1] == "qwen"


async def test_policies_go_when_they_are_switched_off_and_with_an_agent_after_its_drain() -> None:
    scene = await _serving(ENABLED)
    manifest = clusters.example(networkPolicy=ENABLED)
    manifest["spec"]["agents"].pop(1)
    scene.kube.put(manifest)
    await scene.run()
    assert "qwen-medium" in scene.kube.names(NETWORK_POLICIES), "it drains, and is still called"
    scene.now += timedelta(seconds=91)
    await scene.run(2)
    assert scene.kube.names(NETWORK_POLICIES) == ["qwen-large", "qwen-small"]
    manifest["spec"]["networkPolicy"] = {"enabled": False}
    scene.kube.put(manifest)
    await scene.run()
    assert scene.kube.names(NETWORK_POLICIES) == []


async def _serving(policy: Object, settings: Settings = SETTINGS, **spec: Any) -> Scene:
    scene = Scene(clusters.example(networkPolicy=policy, **spec), settings)
    await scene.run()
    scene.serve("small", "medium", "large")
    await scene.run()
    return scene


def _sources(scene: Scene, agent: str) -> list[Any]:
    (rule,) = scene.kube.one(NETWORK_POLICIES, f"qwen-{agent}")["spec"]["ingress"]
    return list(rule["from"])
