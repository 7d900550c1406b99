"""An InferenceService that a team keeps with KServe alone becomes an agent: a sidecar of ours stands in front."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from disrouter_operator.kube.observed import condition
from disrouter_operator.manifests.serving.engine_container import SERVER
from support.cluster import Cluster, image, installed
from support.pool import SMALL, cascade, scripted
from support.team import STARTS, Team, team

pytestmark = pytest.mark.timeout(900)
NAME = "pool"
VISIBILITY = "networking.kserve.io/visibility"
"""Without an Ingress, which no controller of the cluster would take."""


def service(replicas: int = 1) -> dict[str, Any]:
    """What disrouter did not make and knows by its status alone."""
    command = [*SERVER, "none", "--served-model-name=shared", "--host=::", "--port=8080"]
    engine = {
        "name": "kserve-container",
        "image": image("scripted"),
        "command": command,
        "env": [{"name": "KNOWS", "value": "shared"}],
        "ports": [{"containerPort": 8080, "protocol": "TCP"}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 2},
        "resources": SMALL,
    }
    annotations = {"serving.kserve.io/deploymentMode": "Standard", "serving.kserve.io/autoscalerClass": "none"}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "shared", "annotations": annotations, "labels": {VISIBILITY: "cluster-local"}},
        "spec": {"predictor": {"minReplicas": replicas, "containers": [engine]}},
    }


def pool() -> dict[str, Any]:
    shared = {"name": "shared", "cost": 0.4, "serviceRef": {"kind": "InferenceService", "name": "shared"}}
    return cascade(NAME, scripted("small", 0.1, "easy"), shared, scripted("large", 0.9), drainSeconds=5)


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Iterator[Team]:
    with installed(cluster), team(cluster, "others") as made:
        yield made


def reason(place: Team) -> str:
    return str(place.agent(NAME, "shared").get("reason"))


def owned_by_kserve(place: Team) -> bool:
    """Nobody but its keeper and KServe has written it."""
    found = place.get("isvc", "shared", "--show-managed-fields")["metadata"]
    return "ownerReferences" not in found and "disrouter" not in {each["manager"] for each in found["managedFields"]}


def test_it_is_waited_for_asked_where_kserve_says_and_followed(place: Team) -> None:
    place.apply(pool())
    place.until("the others", lambda: place.condition(NAME, "EndpointReady")["status"] == "True", STARTS)
    place.until("a connection", lambda: place.reachable(NAME))  # the node learns of a first pod a moment later
    place.until("what is missing", lambda: reason(place) == "ServiceMissing")
    assert [text for text, _ in place.ask(NAME, "a shared one")] == ["large answers by weights none"] * 2

    place.apply(service())
    place.until("the service", lambda: place.all_ready(NAME), STARTS)
    place.until("its part", lambda: place.ask(NAME, "a shared one")[0][1] == "small,shared")
    assert place.ask(NAME, "a shared one") == [["shared answers by weights none", "small,shared"]] * 2
    assert place.ask(NAME, "a hard one") == [["large answers by weights none", "small,shared,large"]] * 2
    assert owned_by_kserve(place)


def test_a_pod_that_it_loses_moves_no_request_while_another_serves(place: Team) -> None:
    """KServe unreadies a service that has lost one of two pods."""
    place.apply(service(replicas=2))
    selector = "--selector=serving.kserve.io/inferenceservice=shared"

    def serving() -> list[str]:
        pods = place.get("pods", selector)["items"]
        return [
            pod["metadata"]["name"]
            for pod in pods
            if condition(pod.get("status") or {}, "Ready").get("status") == "True"
        ]

    place.until("its second pod", lambda: len(serving()) == 2, STARTS)
    with place.traffic(NAME, "a shared one") as traffic:
        place.kubectl("delete", "pod", serving()[0], "--wait=false")
        place.until("its successor", lambda: len(serving()) == 2, STARTS)
    traffic.check()
    assert set(traffic.paths) <= {"small,shared", "small,shared,large"}, traffic.paths
    assert place.condition(NAME, "EndpointReady")["status"] == "True"


def test_when_it_goes_the_cascade_goes_on_without_it(place: Team) -> None:
    with place.traffic(NAME, "a shared one") as traffic:
        place.kubectl("delete", "isvc", "shared", "--timeout=50s")
        place.until("what is missing", lambda: reason(place) == "ServiceMissing", STARTS)
    traffic.check()
    assert place.ask(NAME, "a shared one")[0][0] == "large answers by weights none"
    place.apply(service())
    place.until("its return", lambda: place.all_ready(NAME), STARTS)
    place.until(
        "its part again", lambda: place.ask(NAME, "a shared one")[0][1] == "small,shared"
    )  # breakers close later


def test_it_outlives_the_cascade(place: Team) -> None:
    place.kubectl("delete", "src", NAME, "--timeout=50s")
    assert owned_by_kserve(place)
    assert place.get("isvc", "shared")["status"]["conditions"]
