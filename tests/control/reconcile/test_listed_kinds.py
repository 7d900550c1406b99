"""What a reconcile lists: no kind that the cluster lacks, and a rare one only where the cascade may have some."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from disrouter_operator.kube.client import NO_LABELS
from disrouter_operator.kube.observed import CHILDREN
from disrouter_operator.kube.resources import (
    HORIZONTAL_POD_AUTOSCALERS,
    HTTP_ROUTES,
    INGRESSES,
    SCALED_OBJECTS,
    TRAIN_JOBS,
    Object,
    Resource,
)
from disrouter_operator.reconcile.listed_kinds import ListedKinds
from disrouter_operator.reconcile.reconciler import Memory
from support import clusters
from support.kube_fake import KubeFake
from support.scenes import KEY, Scene

ALL = set(CHILDREN)
RARE = {HORIZONTAL_POD_AUTOSCALERS, SCALED_OBJECTS, INGRESSES, HTTP_ROUTES}


def _plain(**spec: Any) -> Object:
    """A cascade that asks for no rare kind."""
    manifest = clusters.example(**spec)
    for agent in manifest["spec"]["agents"]:
        agent.pop("replicas", None)
    return manifest


class _Counting(KubeFake):
    def __init__(self) -> None:
        super().__init__()
        self.listed: set[Resource] = set()

    async def list(
        self, resource: Resource, namespace: str | None, labels: Mapping[str, str] = NO_LABELS
    ) -> list[Object]:
        self.listed.add(resource)
        return await super().list(resource, namespace, labels)


def _scene(manifest: Object) -> tuple[Scene, _Counting]:
    scene, kube = Scene(manifest), _Counting()
    kube.put(manifest)
    scene.kube = kube
    return scene, kube


async def _listed(scene: Scene, kube: _Counting) -> set[Resource]:
    kube.listed.clear()
    await scene.run()
    return set(kube.listed)


async def test_rare_kinds_are_listed_once_after_a_start_and_where_the_manifest_asks() -> None:
    scene, kube = _scene(_plain())
    assert await _listed(scene, kube) == ALL
    assert await _listed(scene, kube) == ALL - RARE
    kube.put(_plain(auth={"anonymous": True}, ingress={"hosts": ["a.example.com"]}))
    assert await _listed(scene, kube) == ALL - RARE | {INGRESSES}
    scene.memory = Memory()
    assert await _listed(scene, kube) == ALL


async def test_what_the_manifest_asks_for_no_more_is_listed_until_it_is_gone() -> None:
    manifest = _plain()
    manifest["spec"]["agents"][0]["replicas"] = {"min": 1, "max": 3}
    scene, kube = _scene(_plain())
    await scene.run()
    kube.put(manifest)
    assert await _listed(scene, kube) == ALL - RARE | {HORIZONTAL_POD_AUTOSCALERS}
    kube.put(_plain())
    assert HORIZONTAL_POD_AUTOSCALERS in await _listed(scene, kube)


async def test_what_a_watch_has_shown_is_listed_for_that_cascade() -> None:
    scene, kube = _scene(_plain())
    await scene.run()
    scene.memory.listed.shown(KEY, HTTP_ROUTES)
    scene.memory.listed.shown(KEY._replace(name="other"), INGRESSES)
    assert await _listed(scene, kube) == ALL - RARE | {HTTP_ROUTES}


async def test_a_cascade_that_is_made_anew_is_looked_at_in_full() -> None:
    scene, kube = _scene(_plain())
    await scene.run()
    kube.objects.clear()
    kube.put(_plain())
    assert await _listed(scene, kube) == ALL


async def test_what_the_survey_found_absent_is_not_asked_for_and_counts_as_absent() -> None:
    scene, kube = _scene(_plain(auth={"anonymous": True}, httpRoute={"parentRefs": [{"name": "public"}]}))
    scene.memory = Memory(listed=ListedKinds(lambda: frozenset({TRAIN_JOBS, HTTP_ROUTES})))
    await scene.run()
    assert await _listed(scene, kube) == ALL - RARE - {TRAIN_JOBS}
    assert scene.condition("Degraded")["reason"] == "KindUnknown"
    assert kube.names(HTTP_ROUTES) == []
