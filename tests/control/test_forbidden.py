"""An operator whose role lets it not read a kind that most cascades do without."""

import pytest

from disrouter_operator.errors import KubeError
from disrouter_operator.kube.resources import (
    CASCADES,
    HTTP_ROUTES,
    INGRESSES,
    JOBS,
    SCALED_OBJECTS,
    SERVICES,
    TRAIN_JOBS,
)
from disrouter_operator.reconcile.reconciler import Memory
from support import clusters
from support.scenes import Scene


async def test_a_kind_that_may_not_be_read_and_is_not_needed_is_taken_for_absent_and_said() -> None:
    scene = Scene(clusters.trained())
    scene.kube.forbidden.add(TRAIN_JOBS)
    await scene.run(2)
    scene.serve("small", "medium", "large")
    await scene.run()
    assert scene.kube.names(JOBS)
    assert scene.condition("Ready")["status"] == "True"
    degraded = scene.condition("Degraded")
    assert (degraded["status"], degraded["reason"]) == ("False", "KindForbidden")
    assert "TrainJob (list trainjobs.trainer.kubeflow.org)" in degraded["message"]
    scene.kube.forbidden.clear()
    await scene.run()
    assert scene.condition("Degraded")["message"] == "nothing failed"


async def test_an_agent_that_trains_by_a_kind_that_may_not_be_read_fails_with_the_right_that_is_missing() -> None:
    scene = Scene(clusters.trained(backend="TrainJob"))
    scene.kube.forbidden.add(TRAIN_JOBS)
    await scene.run(2)
    agent = scene.agent("small")
    assert (agent["phase"], agent["reason"]) == ("CollectingFailed", "Forbidden")
    assert "the operator may not list trainjobs.trainer.kubeflow.org" in agent["message"]
    assert scene.kube.names(TRAIN_JOBS) == []
    scene.kube.forbidden.clear()
    await scene.run()
    assert scene.agent("small")["phase"] == "Collecting"


PUBLISHED = {
    "httpRoute": {"parentRefs": [{"name": "public"}]},
    "ingress": {"hosts": ["llm.example.com"]},
    "auth": {"anonymous": True},
}


async def test_rights_to_publish_that_are_kept_back_are_no_news_to_a_cascade_that_asks_for_none() -> None:
    scene = Scene(clusters.trained())
    scene.kube.forbidden |= {INGRESSES, HTTP_ROUTES, SCALED_OBJECTS}
    await scene.run()
    assert scene.condition("Degraded")["reason"] == "AsExpected"
    await scene.run()
    assert scene.condition("Degraded")["reason"] == "AsExpected"


async def test_a_cascade_that_asks_to_be_published_says_which_right_it_lacks_and_serves_inside() -> None:
    scene = Scene(clusters.example(**PUBLISHED))
    scene.kube.forbidden |= {INGRESSES, HTTP_ROUTES}
    await scene.run()
    scene.serve("small", "medium", "large")
    await scene.settle()
    assert scene.condition("Ready")["status"] == "True"
    assert not {kind for _, kind, _ in scene.kube.writes} & {"Ingress", "HTTPRoute"}, "nothing is tried in vain"
    degraded = scene.condition("Degraded")
    assert (degraded["status"], degraded["reason"]) == ("False", "KindForbidden")
    assert "HTTPRoute (list httproutes.gateway.networking.k8s.io)" in degraded["message"]
    assert "Ingress (list ingresses.networking.k8s.io)" in degraded["message"]
    assert "rbac.publish" in degraded["message"]
    scene.kube.forbidden.clear()
    await scene.run()
    assert scene.kube.names(INGRESSES) == scene.kube.names(HTTP_ROUTES) == ["qwen"]


async def test_what_was_published_before_the_right_to_it_was_taken_is_told_of_until_somebody_can_look() -> None:
    scene = Scene(clusters.example(**PUBLISHED))
    await scene.run()
    assert scene.kube.names(INGRESSES) == ["qwen"]
    scene.kube.forbidden |= {INGRESSES, HTTP_ROUTES}
    scene.memory = Memory()  # another role is another process
    for manifest in (clusters.example(**PUBLISHED), clusters.example()):
        scene.kube.put({**scene.kube.one(CASCADES, "qwen"), "spec": manifest["spec"]})
        await scene.run(3)
        degraded = scene.condition("Degraded")
        assert (degraded["status"], degraded["reason"]) == ("False", "KindForbidden")
        assert "kubectl delete httproutes,ingresses -n default -l disrouter.io/cascade=qwen" in degraded["message"]
    scene.kube.forbidden.clear()
    await scene.run(2)
    assert scene.kube.names(INGRESSES) == scene.kube.names(HTTP_ROUTES) == []
    assert scene.condition("Degraded")["reason"] == "AsExpected"


async def test_a_kind_that_every_cascade_needs_must_be_readable() -> None:
    scene = Scene(clusters.trained())
    scene.kube.forbidden.add(SERVICES)
    with pytest.raises(KubeError, match="services is forbidden"):
        await scene.run()
