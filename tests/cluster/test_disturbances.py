"""What befalls a cluster: a node is drained, the name server is away. Nothing is lost meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.cluster import Cluster, installed, no_name_server
from support.pool import cascade, scripted
from support.team import STARTS, Team, team

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("disposable")]
NAME = "pool"


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Iterator[Team]:
    """A namespace with a cascade of two, the last one in two pods, that is ready."""
    with installed(cluster), team(cluster, "disturbed") as made:
        large = scripted("large", 0.9, replicas={"min": 2, "max": 2})
        made.apply(cascade(NAME, scripted("small", 0.1, "easy"), large, drainSeconds=5))
        made.until("Ready", lambda: made.all_ready(NAME), STARTS)
        yield made


def test_a_drained_node_takes_one_pod_of_the_cascade_at_a_time_and_no_request(place: Team) -> None:
    """With no other node, what is evicted waits, and the budget keeps all pods but that one."""
    before = place.agents(NAME)
    node = place.get("pods", f"--selector={selector()}")["items"][0]["spec"]["nodeName"]
    drain = ("drain", node, f"--pod-selector={selector()}", "--delete-emptydir-data", "--timeout=25s")
    with place.traffic(NAME, "an easy one", "a hard one") as traffic:
        try:
            drained = place.cluster.kubectl_process(*drain)
            kept = before.items() & place.agents(NAME).items()
        finally:
            place.cluster.kubectl("uncordon", node)
        place.until("Ready", lambda: place.all_ready(NAME), STARTS)
    traffic.check()
    alone = place.cluster.kubectl("get", "nodes", "--output=name").split() == [f"node/{node}"]
    assert drained.returncode == (1 if alone else 0), drained.stderr
    assert not alone or len(kept) == len(before) - 1


def selector() -> str:
    """Of the pods of its agents."""
    return f"disrouter.io/cascade={NAME},disrouter.io/component=agent"


def test_without_a_name_server_new_connections_find_their_agent(place: Team) -> None:
    """Both pods of the last agent are replaced meanwhile, so no connection to it lasts."""
    assert place.ask(NAME, "a hard one")[0][1] == "small,large"
    address = place.get("service", NAME)["spec"]["clusterIP"]
    with place.traffic(NAME, "a hard one", host=address) as traffic, no_name_server(place.cluster):
        for pod in place.agents(NAME, "large"):
            place.kubectl("delete", "pod", pod, "--wait=false")
            place.until(f"another pod than {pod}", lambda pod=pod: replaced(place, pod))  # type: ignore[misc]
    traffic.check()
    assert set(traffic.paths) == {"small,large"}


def replaced(place: Team, pod: str) -> bool:
    """Whether two others serve."""
    others = set(place.agents(NAME, "large")) - {pod}
    found = place.get("pods", f"--selector={selector()}")["items"]
    conditions = {each["metadata"]["name"]: each["status"].get("conditions") or [] for each in found}
    ready = [name for name in others if {"Ready": "True"} in [{c["type"]: c["status"]} for c in conditions[name]]]
    return len(ready) == 2
