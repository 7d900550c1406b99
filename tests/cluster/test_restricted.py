"""A cascade in a namespace that enforces Pod Security `restricted`: every pod of an agent is admitted and serves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.cluster import Cluster, installed
from support.pool import cascade, scripted
from support.team import STARTS, Team, team

pytestmark = pytest.mark.timeout(600)
NAME = "strict"
ENFORCE = "pod-security.kubernetes.io/enforce=restricted"


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Iterator[Team]:
    """A namespace with its client, which was there before the rule."""
    with installed(cluster), team(cluster, "restricted") as made:
        cluster.kubectl("label", "namespace", made.namespace, ENFORCE, "--overwrite")
        yield made


def test_a_restricted_namespace_is_served_by_engines_that_are_not_root(place: Team) -> None:
    agents = [scripted("small", 0.1, "easy"), scripted("large", 0.9)]
    for agent in agents:
        agent["engine"]["securityContext"] = {"runAsNonRoot": True, "readOnlyRootFilesystem": True}
    place.apply(cascade(NAME, *agents, drainSeconds=5))
    place.until("Ready", lambda: place.all_ready(NAME), STARTS)
    (pod,) = place.agents(NAME, "small")
    tries = "id -u; touch /x 2>/dev/null && echo root; touch ~/x && echo home; touch /dev/shm/x && echo shm"
    said = place.kubectl("exec", pod, "-c", "kserve-container", "--", "sh", "-c", tries)
    assert said.split() == ["2000", "home", "shm"]
    assert place.ask(NAME, "a hard one") == [["large answers by weights none", "small,large"]] * 2


def test_kserve_publishes_no_agent(place: Team) -> None:
    """With KServe's settings as they come: `ingress.disableIngressCreation` is false there."""
    assert place.get("ingresses")["items"] == []
