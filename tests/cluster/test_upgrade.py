"""helm upgrades, rolls back, uninstalls and installs again while clients ask: no request is lost, no pod restarted.

There is one version of the images here, so a release differs by its labels and settings: each change of them replaces
the operator's pods, and none may reach an agent's.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from disrouter import names
from support import helm
from support.cluster import Cluster, installed, values
from support.pool import cascade, scripted
from support.team import STARTS, Team, Traffic, team

pytestmark = pytest.mark.timeout(600)
NAME = "pool"


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Iterator[Team]:
    """A cascade that serves."""
    with installed(cluster), team(cluster, "upgrade") as made:
        made.apply(cascade(NAME, scripted("small", 0.1, "easy"), scripted("large", 0.9)))
        made.until("Ready", lambda: made.all_ready(NAME), STARTS)
        yield made


def seen(place: Team, scenario: str) -> None:
    """An edit that touches no agent; waits until the operator that is there now has done it."""
    place.apply(cascade(NAME, scripted("small", 0.1, "easy"), scripted("large", 0.9), scenario=scenario))
    place.until(f"{scenario} in the route table", lambda: scenario in str(place.get("configmap", f"{NAME}-routes")))
    place.until("Ready", lambda: place.ready(NAME))


def entered(traffic: Traffic) -> None:
    """The entry never moved, and what it refused went on; where a hop fails, the agent before it answers after all."""
    assert {path.split(",")[0] for path in traffic.paths} == {"small"}, traffic
    assert traffic.paths["small,large"] > 0.9 * traffic.paths["small"], traffic


def test_an_upgrade_and_a_rollback_under_traffic(place: Team) -> None:
    releases, before = place.cluster.releases(), place.agents(NAME)
    with place.traffic(NAME, "an easy one", "a hard one") as traffic:
        releases("upgrade", "disrouter-crds", str(helm.CRDS), "--set", "aggregateRoles=false")
        newer = values() | {"commonLabels": {"release": "next"}, "logLevel": "DEBUG"}
        releases("upgrade", "disrouter", str(helm.OPERATOR), "--wait", "--timeout=120s", values=newer)
        seen(place, "cost-first")
        releases("rollback", "disrouter", "1", "--wait", "--timeout=120s")
        releases("rollback", "disrouter-crds", "1")
        seen(place, "performance-first")
    traffic.check()
    entered(traffic)
    assert place.agents(NAME) == before


def test_an_uninstall_leaves_cascades_serving_and_a_new_install_takes_them_over(place: Team) -> None:
    releases, before = place.cluster.releases(), place.agents(NAME)
    with place.traffic(NAME, "an easy one", "a hard one") as traffic:
        releases("uninstall", "disrouter", "--wait")
        releases("uninstall", "disrouter-crds")
        assert place.get(names.PLURAL, NAME)["spec"]["agents"], "the definition stays, and with it the cascades"
        releases("install", "disrouter-crds", str(helm.CRDS), "--take-ownership")
        releases("install", "disrouter", str(helm.OPERATOR), "--wait", "--timeout=120s", values=values())
        seen(place, "balance")
    traffic.check()
    entered(traffic)
    assert place.agents(NAME) == before
