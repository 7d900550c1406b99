"""A claim that one node alone mounts is told of at once, where several pods want it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from disrouter_operator.errors import KubeError
from disrouter_operator.kube.resources import PERSISTENT_VOLUME_CLAIMS, TRAIN_JOBS, Object, Resource
from disrouter_operator.manifests import claims
from disrouter_operator.reconcile.claim_modes import FRESH, MISSING, ClaimModes
from support import clusters
from support.kube_fake import KubeFake
from support.manifests import valid
from support.scenes import Scene

ONE_NODE, MANY = ["ReadWriteOnce"], ["ReadWriteMany"]


def claim(name: str, modes: list[str]) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"accessModes": modes},
    }


def confined(manifest: Any, **modes: list[str]) -> list[str]:
    return list(claims.confined(clusters.cascade(manifest), modes))


def test_every_claim_that_a_manifest_names_is_known_and_nothing_else() -> None:
    assert set(claims.named(valid()["spec"])) == {"models", "data", "weights"}
    odd = {"a": ["pvc://../x", "pvc://?limit=1", 7, None], "persistentVolumeClaim": {"claimName": "x"}}
    assert list(claims.named(odd)) == []
    assert list(claims.named("pvc://whole/a")) == ["whole"]


def test_pods_of_agents_and_of_their_training_that_share_a_claim_are_counted() -> None:
    (said,) = confined(valid(), weights=ONE_NODE, data=MANY, models=MANY)
    assert "claim weights is ReadWriteOnce: one node alone mounts it at a time, and 4 pods want it" in said
    assert "agent small: 1, training of small: 1, agent medium: 1, training of medium: 1" in said
    assert "use a claim with access mode ReadWriteMany, or keep these pods on one node" in said


def test_pods_that_are_kept_on_one_node_are_no_news() -> None:
    here, there = ({"nodeSelector": {"kubernetes.io/hostname": node}} for node in ("a", "b"))
    manifest = valid()
    manifest["spec"]["pod"] = here
    assert confined(manifest, weights=ONE_NODE), "their training runs anywhere"
    manifest["spec"]["training"]["jobs"] = {"pod": here}
    assert confined(manifest, weights=ONE_NODE) == []
    assert confined(manifest, weights=["ReadWriteOncePod"])
    manifest["spec"]["agents"][0]["pod"] = there
    assert confined(manifest, weights=ONE_NODE)
    manifest["spec"]["agents"][0]["pod"] = {"nodeSelector": {"zone": "a"}}
    assert confined(manifest, weights=ONE_NODE)


async def test_it_hides_no_right_that_is_missing() -> None:
    scene = Scene(valid())
    scene.kube.put(claim("weights", ONE_NODE))
    scene.kube.forbidden.add(TRAIN_JOBS)
    await scene.run(2)
    degraded = scene.condition("Degraded")
    assert degraded["reason"] == "KindForbidden"
    assert "TrainJob (list trainjobs" in degraded["message"]
    assert "claim weights is ReadWriteOnce" in degraded["message"]


async def test_claims_that_nobody_asks_for_any_more_are_forgotten() -> None:
    kube, modes, now = _Asked(), ClaimModes(), datetime(2026, 1, 1, tzinfo=UTC)
    for place in range(5):
        await modes.of(kube, "default", [str(place)], now + place * MISSING)
    assert len(modes._known) == 1


def test_a_surge_and_replicas_bring_pods_that_share_a_claim() -> None:
    alone = valid()
    del alone["spec"]["training"]
    assert confined(alone, models=ONE_NODE) == [], "one pod on one node"
    assert "agent medium: 2" in confined(alone | {"spec": alone["spec"] | {"rollout": "surge"}}, models=ONE_NODE)[0]
    alone["spec"]["agents"][1]["replicas"] = {"min": 1, "max": 3}
    assert "agent medium: 3" in confined(alone, models=ONE_NODE)[0]


def test_a_claim_of_one_pod_has_no_node_that_helps() -> None:
    (said,) = confined(valid(), weights=["ReadWriteOncePod"])
    assert "one pod alone mounts it" in said
    assert "node (" not in said


@pytest.mark.parametrize("modes", [MANY, ["ReadOnlyMany"], [*ONE_NODE, *MANY], []])
def test_claims_that_nodes_share_or_that_nobody_knows_are_no_news(modes: list[str]) -> None:
    assert confined(valid(), weights=modes) == []


async def test_it_is_said_in_the_status_and_once_in_an_event() -> None:
    scene = Scene(valid())
    scene.kube.put(claim("weights", ONE_NODE))
    await scene.run(3)
    degraded = scene.condition("Degraded")
    assert (degraded["status"], degraded["reason"]) == ("False", "ClaimConfined")
    assert "claim weights is ReadWriteOnce" in degraded["message"]
    assert scene.reasons().count("ClaimConfined") == 1
    scene.kube.put(claim("weights", MANY))
    scene.now += FRESH
    await scene.run()
    assert scene.condition("Degraded")["reason"] == "AsExpected"


class _Asked(KubeFake):
    """Counts reads, and may refuse them."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.error: KubeError | None = None

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        self.asked += resource == PERSISTENT_VOLUME_CLAIMS
        if self.error is not None:
            raise self.error
        return await super().get(resource, namespace, name)


async def test_a_claim_is_read_once_in_a_while_and_one_that_is_not_there_more_often() -> None:
    kube, modes, now = _Asked(), ClaimModes(), datetime(2026, 1, 1, tzinfo=UTC)
    for _ in range(2):
        assert await modes.of(kube, "default", ["a"], now) == {"a": frozenset()}
    assert kube.asked == 1
    kube.put(claim("a", ONE_NODE))
    came = now + MISSING
    for minutes in (0, 5, 10):
        found = await modes.of(kube, "default", ["a", "a"], came + timedelta(minutes=minutes))
        assert found == {"a": frozenset(ONE_NODE)}
    assert kube.asked == 2
    await modes.of(kube, "default", ["a"], came + FRESH)
    assert kube.asked == 3


async def test_a_role_without_the_right_to_read_claims_is_no_failure() -> None:
    kube, modes, now = _Asked(), ClaimModes(), datetime(2026, 1, 1, tzinfo=UTC)
    kube.error = KubeError("forbidden", 403)
    for _ in range(2):
        assert await modes.of(kube, "default", ["a"], now) == {"a": frozenset()}
    assert kube.asked == 1
    kube.error = None
    kube.put(claim("a", ONE_NODE))
    assert await modes.of(kube, "default", ["a"], now + MISSING) == {"a": frozenset(ONE_NODE)}, "it was granted"
    kube.error = KubeError("away", 503)
    with pytest.raises(KubeError):
        await modes.of(kube, "default", ["b"], now)
