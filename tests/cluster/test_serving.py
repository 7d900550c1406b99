"""A cascade on a cluster: helm installs, kubectl applies, clients in the cluster ask through its Service."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from support.cluster import Cluster, installed
from support.pool import cascade, scripted
from support.team import STARTS, Team, team

pytestmark = pytest.mark.timeout(600)
NAME = "pool"


def small() -> dict[str, object]:
    """Its engine takes its time to start, so that others are seen to answer meanwhile."""
    agent = scripted("small", 0.1, "easy")
    agent["engine"]["env"].append({"name": "START_SECONDS", "value": "3"})
    return agent


def large() -> dict[str, object]:
    return scripted("large", 0.9)


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Iterator[Team]:
    """A namespace with a cascade of two that is ready."""
    with installed(cluster), team(cluster, "serving") as made:
        made.apply(cascade(NAME, small(), large(), drainSeconds=5))
        made.until("Ready", lambda: made.all_ready(NAME), STARTS)
        yield made


def test_helms_own_test_passes(place: Team) -> None:
    assert "Succeeded" in place.cluster.releases()("test", "disrouter")


def test_the_first_agent_answers_what_it_knows_and_forwards_the_rest(place: Team) -> None:
    assert place.ask(NAME, "an easy one") == [["small answers by weights none", "small"]] * 2
    assert place.ask(NAME, "a hard one", "cost-first") == [["large answers by weights none", "small,large"]] * 2


def test_the_table_of_kubectl_says_how_it_is(place: Team) -> None:
    head, row = place.kubectl("get", "src").splitlines()
    assert head.split() == ["NAME", "READY", "REASON", "AGENTS", "TRAINING", "URL", "AGE"]
    assert row.split()[:4] == [NAME, "True", "Serving", "2/2"]
    assert f"http://{NAME}.{place.namespace}.svc" in row


def test_a_cascade_at_rest_is_left_alone(place: Team) -> None:
    """No part writes for ever: nothing has another version after a while, whatever made it."""
    kinds = ("src", "inferenceservices", "deployments", "services", "configmaps", "pods")

    def versions() -> dict[str, str]:
        items = [item for kind in kinds for item in place.get(kind)["items"]]
        return {f"{each['kind']}/{each['metadata']['name']}": each["metadata"]["resourceVersion"] for each in items}

    before = versions()
    time.sleep(10)
    assert versions() == before


def test_an_agent_comes_and_goes_by_an_edit_and_touches_nobody_else(place: Team) -> None:
    before = place.agents(NAME, "small", "large")
    medium = scripted("medium", 0.4, "hard")
    with place.traffic(NAME, "an easy one", "a hard one") as traffic:
        place.apply(cascade(NAME, small(), medium, large(), drainSeconds=5))
        place.until("the new agent", lambda: place.all_ready(NAME), STARTS)
        place.until("its part", lambda: place.ask(NAME, "a hard one")[0][1] == "small,medium")
        place.apply(cascade(NAME, small(), large(), drainSeconds=5))
        place.until("its removal", lambda: place.ready(NAME) and not place.agents(NAME, "medium"))
    traffic.check()
    assert {"small", "small,medium", "small,large"} <= set(traffic.paths)
    assert place.agents(NAME, "small", "large") == before


EXTERNAL: dict[str, object] = {"autoscaling": {"autoscaler": "external"}}
SCALED: tuple[tuple[dict[str, object], dict[str, object], int], ...] = (
    ({"replicas": {"min": 2, "max": 2}}, {}, 2),
    ({"replicas": {"min": 1, "max": 3}}, {}, 2),
    ({**EXTERNAL, "replicas": {"min": 1, "max": 3}}, {**EXTERNAL, "replicas": {"min": 0, "max": 3}}, 2),
    ({}, {}, 1),
    ({"replicas": {"min": 1, "max": 2}, "autoscaling": {"target": 70}}, {}, 1),
)
"""Fields of the first agent and of the last, and the pods that the first one has then."""


def test_scaling_restarts_no_pod_and_moves_no_request(place: Team) -> None:
    """A second pod takes seconds to start, as an engine takes minutes: the first one goes on alone meanwhile."""
    first = place.agents(NAME)
    with place.traffic(NAME, "an easy one") as traffic:
        for of_small, of_large, pods in SCALED:
            place.apply(cascade(NAME, small() | of_small, large() | of_large, drainSeconds=5))
            place.until(f"{of_small}", lambda pods=pods: scaled_to(place, pods))  # type: ignore[misc]
            place.until("Ready", lambda: place.all_ready(NAME), STARTS)
            assert first.items() <= place.agents(NAME).items(), "no pod is made anew"
        (metric,) = place.get("hpa", f"{NAME}-small")["spec"]["metrics"]
        assert metric["containerResource"]["target"]["averageUtilization"] == 70
        place.apply(cascade(NAME, small(), large(), drainSeconds=5))
        place.until("no autoscaler", lambda: not place.get("hpa")["items"])
    traffic.check()
    assert set(traffic.paths) == {"small"}
    assert place.agents(NAME) == first


def scaled_to(place: Team, pods: int) -> bool:
    """Whether the Deployment has so many pods, ready and no others."""
    found = place.get("deployment", f"{NAME}-small-predictor")["status"]
    counts = [found.get(name, 0) for name in ("replicas", "readyReplicas", "updatedReplicas")]
    return counts == [pods] * 3 and len(place.agents(NAME, "small")) == pods


def test_a_deleted_pod_of_the_entrypoint_loses_no_request_that_is_not_on_it(place: Team) -> None:
    """A graceful end: the pod drains while the entrypoint moves on, and comes back."""
    (pod,) = place.agents(NAME, "small")
    with place.traffic(NAME, "an easy one") as traffic:
        place.kubectl("delete", "pod", pod, "--wait=false")
        place.until("another pod", lambda: pod not in place.agents(NAME, "small"))
        place.until("Ready", lambda: place.all_ready(NAME), STARTS)
        place.until("the entrypoint again", lambda: place.ask(NAME, "an easy one")[0][1] == "small")
    traffic.check()
