"""Who is asked what: the agent's own requests, those on their way to it, along the routes that the manifest has."""

from __future__ import annotations

from typing import Any

import pytest

from disrouter.api.agent import ScaleMetric
from disrouter_operator.kube.resources import Object
from disrouter_operator.manifests.serving import autoscaler, inference_service, load_queries
from support import clusters

KEDA: Object = {"autoscaler": "keda", "prometheus": "http://prometheus:9090", "target": 8}
ROOM = {"min": 1, "max": 4}
LOAD = load_queries.Load(ScaleMetric.CONCURRENCY, "default", "qwen", 8)


def cascade(*agents: Object, **spec: Any) -> Any:
    """One whose agents all scale by requests, but for the last, which is external."""
    built = clusters.example()
    built["spec"].pop("training")
    last = built["spec"]["agents"][-1]
    chain = [
        {
            "model": {"uri": "hf://org/name"},
            "cost": place / 100,
            "selfAwareness": {"mode": "prompted"},
            "replicas": ROOM,
            "autoscaling": KEDA,
            **agent,
        }
        for place, agent in enumerate(agents)
    ]
    built["spec"] |= {"agents": [*chain, last], **spec}
    return clusters.cascade(built)


def spec_of(owner: Any, name: str) -> Object:
    (agent,) = [agent for agent in owner.spec.agents if agent.name == name]
    workload = inference_service.inference_service(owner, agent, None, "sidecar:test")
    made = autoscaler.of_workload(owner, agent, workload)
    assert made is not None
    return dict(made["spec"])


def queries(owner: Any, name: str) -> dict[str, str]:
    return {each["name"]: each["metadata"]["query"] for each in spec_of(owner, name)["triggers"]}


CHAIN = ({"name": "tiny"}, {"name": "small"}, {"name": "medium"})


def test_the_entry_is_asked_what_it_has_and_those_behind_it_what_is_on_its_way() -> None:
    owner = cascade(*CHAIN)
    assert [*queries(owner, "tiny")] == ["present"]
    assert [*queries(owner, "small")] == ["present", "ahead"]
    assert [*queries(owner, "medium")] == ["present", "ahead", "from-entry"]


def test_a_query_is_of_this_cascade_in_this_namespace_and_of_this_agent() -> None:
    asked = queries(cascade(*CHAIN), "medium")
    assert asked == {
        "present": LOAD.present("medium"),
        "ahead": LOAD.ahead("medium"),
        "from-entry": LOAD.from_entry(["tiny", "small", "medium"]),
    }
    assert asked["ahead"] != queries(cascade(*CHAIN), "small")["ahead"]


def test_the_way_from_the_entry_follows_the_tree() -> None:
    tree = (
        {"name": "tiny", "next": "medium"},
        {"name": "small"},
        {"name": "coder", "next": "expert"},
        {"name": "medium", "next": "large"},
        {"name": "expert"},
    )
    owner = cascade(*tree, entrypoint="small")
    assert [*queries(owner, "small")] == ["present"], "nobody hands on to it"
    assert [*queries(owner, "coder")] == ["present", "ahead"]
    path = ["small", "coder", "expert"]
    far = LOAD.from_entry(path)
    assert queries(owner, "expert")["from-entry"] == far
    assert [*queries(owner, "medium")] == ["present", "ahead"], "no way leads there from the entry"


def test_an_agent_that_only_its_name_leads_to_is_woken_by_whoever_names_it() -> None:
    agents = ({"name": "tiny", "replicas": {"min": 0, "max": 1}}, {"name": "small"})
    assert queries(cascade(*agents, entrypoint="small"), "tiny") == {
        "present": LOAD.present("tiny"),
        "ahead": LOAD.ahead("tiny"),
    }


@pytest.mark.parametrize(("metric", "word"), [("concurrency", "inflight"), ("rps", "rate")])
def test_a_target_is_what_one_pod_is_to_have(metric: str, word: str) -> None:
    agents = ({"name": "small"}, {"name": "medium", "autoscaling": KEDA | {"metric": metric}})
    for trigger in spec_of(cascade(*agents), "medium")["triggers"]:
        assert trigger["type"] == "prometheus"
        assert trigger["metadata"]["threshold"] == "8"
        assert trigger["metadata"]["serverAddress"] == "http://prometheus:9090"
    assert word in queries(cascade(*agents), "medium")["present"]


@pytest.mark.parametrize(("metric", "looks"), [("concurrency", [1, 1]), ("rps", [1, 2])])
def test_an_hpa_reads_what_the_chart_records(metric: str, looks: list[int]) -> None:
    agents = [{"name": name, "autoscaling": {"metric": metric, "target": 8}} for name in ("small", "medium")]
    owner = cascade(*agents)
    found = {name: [each["external"] for each in spec_of(owner, name)["metrics"]] for name in ("small", "medium")}
    recorded = {name for each in load_queries.METRICS for name in load_queries.rules(each)}
    for name, metrics in found.items():
        wanted = [f"disrouter_agent_{metric}", f"disrouter_agent_{metric}_ahead"][: len(metrics)]
        assert [each["metric"]["name"] for each in metrics] == wanted
        assert set(wanted) <= recorded
        for each in metrics:
            assert each["metric"]["selector"] == {"matchLabels": {"cascade": "qwen", "agent": name}}
            assert each["target"] == {"type": "AverageValue", "averageValue": "8"}
    assert [len(metrics) for metrics in found.values()] == looks
