"""A Job without a pod says nothing of itself: the status does, once a moment has passed."""

from __future__ import annotations

from datetime import timedelta

from disrouter_operator.kube.resources import DEPLOYMENTS, JOBS
from disrouter_operator.kube.timestamps import timestamp
from disrouter_operator.plan.training.observed_jobs import POD_SECONDS
from disrouter_operator.reconcile.reconciler import Requeue
from support import clusters
from support.scenes import Scene


async def started() -> Scene:
    """The example, with a Job that its API server has just made."""
    scene = Scene(clusters.example())
    await scene.run()
    scene.serve("small", "medium", "large")
    await scene.settle()
    for job in (*scene.jobs("small"), *scene.jobs("medium")):
        job["metadata"]["creationTimestamp"] = timestamp(scene.now)
    return scene


async def test_a_job_that_gets_no_pod_is_told_after_a_moment_and_no_sooner() -> None:
    scene = await started()
    scene.now += timedelta(seconds=POD_SECONDS - 10)
    assert await scene.run() == Requeue(10.0), "nothing else would wake the cascade"
    assert scene.agent("small")["reason"] == "Running"
    scene.now += timedelta(seconds=10)
    assert await scene.run() is None
    small = scene.agent("small")
    (job,) = scene.jobs("small")
    assert (small["phase"], small["reason"]) == ("Collecting", "PodWaits")
    assert f"Job/{job['metadata']['name']} has no pod" in small["message"]
    assert "a quota, Pod Security or a webhook may refuse it" in small["message"]
    assert f"kubectl describe job/{job['metadata']['name']}" in small["message"]
    assert "has no pod" in scene.condition("TrainingComplete")["message"]


async def test_what_refuses_agents_pods_is_said_of_the_job_too() -> None:
    scene = await started()
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: few"}
    scene.kube.set_status(DEPLOYMENTS, "qwen-large", {"conditions": [failure]})
    scene.now += timedelta(seconds=POD_SECONDS)
    await scene.run()
    assert (
        "has no pod: so it is with agents: no further pod can be made: exceeded quota: few"
        in scene.agent("small")["message"]
    )


async def test_a_job_that_has_a_pod_had_one_or_waits_in_a_queue_is_not_said_to_have_none() -> None:
    for status, spec in (({"active": 1}, {}), ({"failed": 1}, {}), ({}, {"suspend": True})):
        scene = await started()
        for job in (*scene.jobs("small"), *scene.jobs("medium")):
            job["spec"] |= spec
            scene.kube.set_status(JOBS, job["metadata"]["name"], status)
        scene.now += timedelta(seconds=2 * POD_SECONDS)
        await scene.run()
        assert "has no pod" not in scene.agent("small")["message"]


async def test_it_is_over_once_a_pod_is_there() -> None:
    scene = await started()
    scene.now += timedelta(seconds=POD_SECONDS)
    await scene.run()
    (job,) = scene.jobs("small")
    pod = clusters.pod_of(job, "")
    pod["status"] = {"phase": "Pending"}
    scene.kube.put(pod)
    await scene.run()
    assert scene.agent("small")["reason"] == "Running"
