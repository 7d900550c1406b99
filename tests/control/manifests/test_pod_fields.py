"""A patch of a pod that mistypes a field is refused by that name, before anything is applied."""

from __future__ import annotations

from typing import Any

import pytest

from disrouter_operator.kube.resources import Object
from disrouter_operator.manifests import pod_fields
from support import clusters
from support.scenes import Scene

ENGINE = "kserve-container"
WRONG: list[tuple[Object, str]] = [
    ({"nodeSelectr": {}}, "p.nodeSelectr: unknown field, did you mean 'nodeSelector'?"),
    (
        {"containers": [{"name": ENGINE, "resources": {"limit": {"cpu": 1}}}]},
        f"p.containers[{ENGINE}].resources.limit: unknown field, did you mean 'limits'?",
    ),
    ({"volumes": [{"name": "a", "emptyDirs": {}}]}, "p.volumes[a].emptyDirs: unknown field, did you mean 'emptyDir'?"),
    (
        {"topologySpreadConstraints": [{"maxSkw": 1}]},
        "p.topologySpreadConstraints[0].maxSkw: unknown field, did you mean 'maxSkew'?",
    ),
]
RIGHT: list[Object] = [
    {"nodeSelector": {"anything": "goes"}, "tolerations": None, "$retainKeys": ["containers"]},
    {"containers": [{"$patch": "replace"}, {"name": ENGINE, "resources": {"limits": {"example.com/gpu": 1}}}]},
    {"volumes": [{"name": "a", "ephemeral": {"volumeClaimTemplate": {"metadata": {"labels": {"any": "a"}}}}}]},
    {"workloadRef": {"name": "gang", "podGroup": "workers"}},
    {"containers": [{"name": ENGINE, "resources": {"limitsInPlace": {}}}]},
    {"securityContext": {"sysctls": [{"name": "a", "value": "b"}]}, "priority": 0},
]


@pytest.mark.parametrize(("patch", "said"), WRONG, ids=[said for _, said in WRONG])
def test_an_unknown_field_is_named_with_the_one_that_was_meant(patch: Object, said: str) -> None:
    (found,) = pod_fields.misspelt(patch, "p")
    assert str(found).startswith(said)


@pytest.mark.parametrize("patch", RIGHT)
def test_what_pods_have_what_patches_say_and_what_a_newer_cluster_may_have_passes(patch: Object) -> None:
    assert list(pod_fields.misspelt(patch, "p")) == []


async def test_nothing_is_applied_of_a_cascade_with_a_misspelt_field() -> None:
    manifest: Any = clusters.example()
    manifest["spec"]["agents"][0]["pod"] = {"template": {"nodeSelectr": {"gpu": "h100"}}}
    scene = Scene(manifest)
    await scene.run()
    condition = scene.condition("SpecValid")
    assert "spec.agents[0].pod.template.nodeSelectr: unknown field" in condition["message"]
    assert [write for write in scene.kube.writes if write[0] == "apply"] == []
