"""An operator whose role lets it not read a kind that most cascades do without."""

import pytest

from disrouter_operator.errors import KubeError
from disrouter_operator.kube.resources import JOBS, SERVICES, TRAIN_JOBS
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


async def test_a_kind_that_every_cascade_needs_must_be_readable() -> None:
    scene = Scene(clusters.trained())
    scene.kube.forbidden.add(SERVICES)
    with pytest.raises(KubeError, match="services is forbidden"):
        await scene.run()
