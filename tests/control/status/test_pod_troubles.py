"""The status names the cause: of pods that are refused, evicted, killed for memory, crashing, or not ready yet."""

from __future__ import annotations

from typing import Any

import pytest

from disrouter_operator.errors import KubeError
from disrouter_operator.kube.resources import DEPLOYMENTS, EVENTS, INFERENCE_SERVICES, PODS, Object
from disrouter_operator.status import pod_troubles
from support import clusters
from support.scenes import Scene, serving

QUOTA = (
    'pods "qwen-small-predictor-x" is forbidden: exceeded quota: few, requested: pods=1, used: pods=0, limited: pods=0'
)


def pod(**status: Any) -> Object:
    limits = {"limits": {"memory": "64Mi"}}
    return {
        "metadata": {"name": "x"},
        "spec": {"containers": [{"name": "kserve-container", "resources": limits}]},
        "status": status,
    }


def container(**state: Any) -> Object:
    return {"name": "kserve-container", "ready": False, "restartCount": 2} | state


def ended(code: int, **terminated: Any) -> Object:
    return {"terminated": {"exitCode": code, **terminated}}


TROUBLES: list[tuple[Object, str, str]] = [
    (
        pod(containerStatuses=[container(state={"waiting": {"reason": "ImagePullBackOff", "message": "no image"}})]),
        "PodWaits",
        "pod x, container kserve-container: ImagePullBackOff: no image",
    ),
    (
        pod(containerStatuses=[container(state={"running": {}}, lastState=ended(137, reason="OOMKilled"))]),
        "OutOfMemory",
        "OOMKilled at its memory limit of 64Mi; give it more in resources.limits.memory",
    ),
    (
        pod(
            containerStatuses=[
                container(
                    state={"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}},
                    lastState=ended(1, reason="Error", message="loading\nValueError: no GPU\n\n"),
                )
            ]
        ),
        "Crashing",
        "ended with code 1 (Error, 2 restarts): ValueError: no GPU",
    ),
    (
        pod(
            phase="Running",
            conditions=[
                {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": "by y"}
            ],
        ),
        "PodEvicted",
        "pod x has to go: PreemptionByScheduler: by y",
    ),
    (pod(phase="Failed", reason="Evicted", message="low on memory"), "PodEvicted", "pod x: Evicted: low on memory"),
    (
        pod(containerStatuses=[container(state={"running": {}})]),
        "ProbeFails",
        "pod x, container kserve-container: runs, and does not pass its readiness probe yet",
    ),
]


@pytest.mark.parametrize(("obj", "reason", "words"), TROUBLES, ids=[reason for _, reason, _ in TROUBLES])
def test_a_pod_says_what_is_wrong_with_it(obj: Object, reason: str, words: str) -> None:
    found = pod_troubles.of_pods([obj])
    assert found is not None
    assert found[0] == reason
    assert words in found[1]


def test_pods_that_serve_or_ended_well_have_no_trouble() -> None:
    well = container(ready=True, state={"running": {}}, lastState=ended(1, reason="Error"))
    assert (
        pod_troubles.of_pods([pod(containerStatuses=[well]), pod(containerStatuses=[container(state=ended(0))])])
        is None
    )


def test_a_probe_that_fails_is_said_only_where_nothing_worse_is() -> None:
    starting = pod(containerStatuses=[container(state={"running": {}})])
    evicted = pod(phase="Failed", reason="Evicted")
    evicted["metadata"] = {"name": "y"}
    assert (pod_troubles.of_pods([starting, evicted]) or ("",))[0] == "PodEvicted"


def at(obj: Object, name: str, created: str, **metadata: Any) -> Object:
    """The pod under a name of its own, made at a moment."""
    return {**obj, "metadata": {"name": name, "creationTimestamp": created, **metadata}}


def test_what_its_owner_has_to_mend_is_said_before_what_is_over_whatever_the_pods_are_called() -> None:
    killed = pod(containerStatuses=[container(state=ended(137, reason="OOMKilled"))])
    evicted = pod(phase="Failed", reason="Evicted")
    pods = [at(evicted, "aaa", "2026-01-01T00:00:00Z"), at(killed, "zzz", "2026-01-02T00:00:00Z")]
    assert (pod_troubles.of_pods(pods) or ("",))[0] == "OutOfMemory"


def test_of_two_pods_with_the_same_trouble_the_older_one_is_named() -> None:
    crashed = pod(containerStatuses=[container(state=ended(1))])
    pods = [at(crashed, "aaa", "2026-01-02T00:00:00Z"), at(crashed, "zzz", "2026-01-01T00:00:00Z")]
    assert "pod zzz" in (pod_troubles.of_pods(pods) or ("", ""))[1]


def test_a_pod_that_is_told_to_go_has_no_trouble_unless_it_is_disrupted() -> None:
    gone = {"deletionTimestamp": "2026-01-01T00:00:30Z"}
    ending = pod(containerStatuses=[container(state=ended(143, reason="Error", message="bye"))])
    assert pod_troubles.of_pods([at(ending, "x", "2026-01-01T00:00:00Z", **gone)]) is None
    ending["status"]["conditions"] = [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]
    found = pod_troubles.of_pods([at(ending, "x", "2026-01-01T00:00:00Z", **gone)])
    assert (found or ("",))[0] == "PodEvicted"


async def test_a_pod_that_was_evicted_once_is_no_trouble_of_an_agent_whose_pods_all_serve() -> None:
    scene = await serving(clusters.example(), "small", "medium", "large")
    evicted = clusters.predictor_pod(scene.kube.one(DEPLOYMENTS, "qwen-small-predictor"), "2026-01-01T00:00:00Z")
    evicted["metadata"]["name"] = "aaa"
    evicted["status"] = {"phase": "Failed", "reason": "Evicted", "message": "low on ephemeral-storage"}
    scene.kube.put(evicted)
    await scene.run()
    assert "PodEvicted" not in scene.reasons()
    scene.kube.set_status(DEPLOYMENTS, "qwen-small-predictor", clusters.rolled_out(9) | {"availableReplicas": 0})
    await scene.run()
    assert "PodEvicted" in scene.reasons()


async def refused() -> Scene:
    scene = await serving(clusters.example(), "medium", "large")
    scene.kube.put(clusters.predictor_deployment(scene.kube.one(INFERENCE_SERVICES, "qwen-small")))
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": QUOTA}
    scene.kube.set_status(DEPLOYMENTS, "qwen-small-predictor", {"conditions": [failure]})
    await scene.run()
    return scene


async def test_a_quota_is_told_in_the_agent_in_ready_and_in_an_event() -> None:
    scene = await refused()
    small = scene.agent("small")
    assert "exceeded quota: few" in small["message"]
    serving_ = next(each for each in small["conditions"] if each["type"] == "Serving")
    assert (serving_["status"], serving_["reason"]) == ("False", "PodRefused")
    assert scene.condition("Ready")["reason"] == "PodRefused", "the column REASON of kubectl get src"
    assert "PodRefused" in scene.reasons()
    before = len([key for key in scene.kube.objects if key[0] == EVENTS])
    await scene.run(2)
    assert len([key for key in scene.kube.objects if key[0] == EVENTS]) == before, "once"


async def test_a_starting_engine_is_no_trouble_and_says_what_it_waits_for() -> None:
    scene = await serving(clusters.example(), "medium", "large")
    made = clusters.predictor_deployment(scene.kube.one(INFERENCE_SERVICES, "qwen-small"))
    scene.kube.put(made)
    starting = clusters.predictor_pod(made, "2026-01-01T00:00:00Z")
    starting["status"] = {"containerStatuses": [container(state={"running": {}}, restartCount=0)]}
    scene.kube.put(starting)
    assert starting["metadata"]["name"] in scene.kube.names(PODS)
    await scene.run()
    assert "does not pass its readiness probe yet" in scene.agent("small")["message"]
    assert scene.condition("Ready")["reason"] == "AgentStarting"


async def test_a_webhook_that_is_away_is_waited_for_and_one_that_says_no_is_not() -> None:
    away = 'Internal error occurred: failed calling webhook "isvc.kserve": connection refused'
    for error, reason, waits in (
        (KubeError(away, 500), "ChildDelayed", "True"),
        (KubeError('admission webhook "isvc.kserve" denied the request', 403), "ChildRefused", "False"),
        (
            KubeError("failed to create typed patch object: .spec.x: field not declared in schema", 500),
            "ChildRefused",
            "False",
        ),
    ):
        scene = Scene(clusters.example())
        scene.kube.refuse = lambda obj, error=error: error if obj["kind"] == "InferenceService" else None  # type: ignore[misc]
        requeue = await scene.run()
        assert scene.condition("Ready")["reason"] == reason
        assert scene.condition("Reconciling")["status"] == waits
        assert scene.condition("Stalled")["status"] == ("False" if waits == "True" else "True")
        assert requeue is not None
        scene.kube.refuse = lambda _: None
        await scene.run()
        assert scene.condition("Degraded")["status"] == "False"
