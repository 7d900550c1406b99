"""The small controllers of the on-disk store: what they plan from what they see."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from disrouter_local.node import kserve
from disrouter_local.objects import stamp
from disrouter_local.store import deployments, garbage, jobs
from disrouter_local.store.folder import Folder
from disrouter_local.store.store import Store
from disrouter_operator.kube.resources import CONFIG_MAPS, DEPLOYMENTS, JOBS, PODS, SERVICES, Object

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(Folder(tmp_path), clock=lambda: NOW)


def deployment(strategy: str = "Recreate", replicas: int = 1, image: str = "one") -> Object:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    spec = {"replicas": replicas, "strategy": {"type": strategy}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def job(**spec: Any) -> Object:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}}
    metadata = {"name": "train"}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": template, **spec}}


async def mark_ready(store: Store) -> None:
    for pod in await store.list(PODS, None):
        await store.patch_status({**pod, "status": {"conditions": [{"type": "Ready", "status": "True"}]}})


async def end_pod(store: Store, code: int, at: datetime = NOW, **status: Any) -> None:
    for pod in await store.list(PODS, None):
        if (pod.get("status") or {}).get("phase") not in ("Failed", "Succeeded"):
            state = {"terminated": {"exitCode": code, "finishedAt": stamp(at)}}
            statuses = [{"name": "c", "state": state}]
            phase = "Failed" if code else "Succeeded"
            await store.patch_status({**pod, "status": {"phase": phase, "containerStatuses": statuses, **status}})


async def names(store: Store) -> list[str]:
    return [pod["metadata"]["name"] for pod in await store.list(PODS, None)]


async def test_an_unchanged_template_never_touches_its_pods(store: Store) -> None:
    await store.apply(deployment(replicas=2))
    await deployments.sync(store, NOW)
    await mark_ready(store)
    await deployments.sync(store, NOW)
    before, version = await store.list(PODS, None), store.version
    await deployments.sync(store, NOW)
    assert store.version == version
    await store.apply(deployment(replicas=3))
    await deployments.sync(store, NOW)
    after = await store.list(PODS, None)
    assert len(after) == 3
    assert [pod for pod in after if pod in before] == before


async def test_recreate_makes_room_before_it_starts_the_new_pod(store: Store) -> None:
    await store.apply(deployment())
    await deployments.sync(store, NOW)
    (old,) = await store.list(PODS, None)
    await store.apply(deployment(image="two"))
    await deployments.sync(store, NOW)
    assert await names(store) == [old["metadata"]["name"]]
    (ending,) = await store.list(PODS, None)
    assert "deletionTimestamp" in ending["metadata"]
    await store.remove_pod(ending)
    await deployments.sync(store, NOW)
    (new,) = await store.list(PODS, None)
    assert new["spec"]["containers"][0]["image"] == "two"


async def test_a_rolling_update_keeps_the_old_pod_until_the_new_one_is_ready(store: Store) -> None:
    await store.apply(deployment("RollingUpdate"))
    await deployments.sync(store, NOW)
    await store.apply(deployment("RollingUpdate", image="two"))
    await deployments.sync(store, NOW)
    await deployments.sync(store, NOW)
    pods = await store.list(PODS, None)
    assert len(pods) == 2
    assert not any("deletionTimestamp" in pod["metadata"] for pod in pods)
    await mark_ready(store)
    await deployments.sync(store, NOW)
    ending = [pod["spec"]["containers"][0]["image"] for pod in await store.list(PODS, None) if is_ending(pod)]
    assert ending == ["one"]


async def test_several_pods_go_one_at_a_time_where_none_may_be_more(store: Store) -> None:
    def rolled(image: str) -> Object:
        made = deployment("RollingUpdate", 2, image)
        made["spec"]["strategy"]["rollingUpdate"] = {"maxSurge": 0, "maxUnavailable": 1}
        return made

    await store.apply(rolled("one"))
    await deployments.sync(store, NOW)
    await mark_ready(store)
    await store.apply(rolled("two"))
    for _ in range(2):
        for _ in range(3):
            await deployments.sync(store, NOW)
        pods = await store.list(PODS, None)
        (ending,) = [pod for pod in pods if is_ending(pod)]
        assert len(pods) == 3, "one of two goes, and the new one is on its way"
        await store.remove_pod(ending)
        await mark_ready(store)
    await deployments.sync(store, NOW)
    assert [pod["spec"]["containers"][0]["image"] for pod in await store.list(PODS, None)] == ["two", "two"]


async def test_scaling_down_ends_surplus_pods_only(store: Store) -> None:
    await store.apply(deployment(replicas=3))
    await deployments.sync(store, NOW)
    await store.apply(deployment(replicas=1))
    await deployments.sync(store, NOW)
    assert sum(not is_ending(pod) for pod in await store.list(PODS, None)) == 1


async def test_a_job_runs_one_pod_and_completes(store: Store) -> None:
    await store.apply(job())
    await jobs.sync(store, NOW)
    await jobs.sync(store, NOW)
    assert len(await names(store)) == 1
    await end_pod(store, 0)
    await jobs.sync(store, NOW)
    assert await conditions(store) == {"Complete": "CompletionsReached"}
    version = store.version
    await jobs.sync(store, NOW + timedelta(hours=1))
    assert store.version == version


async def test_a_failing_job_is_retried_with_growing_delay_up_to_its_limit(store: Store) -> None:
    await store.apply(job(backoffLimit=2))
    await jobs.sync(store, NOW)
    moment = NOW
    for attempt in range(1, 4):
        await end_pod(store, 1, at=moment)
        await jobs.sync(store, moment)
        assert len(await names(store)) == attempt
        moment += timedelta(seconds=jobs.RETRY.delay(attempt))
        await jobs.sync(store, moment)
    assert len(await names(store)) == 3
    assert await conditions(store) == {"Failed": "BackoffLimitExceeded"}


async def test_an_interruption_is_retried_and_does_not_count(store: Store) -> None:
    await store.apply(job(backoffLimit=0))
    moment = NOW
    await jobs.sync(store, moment)
    await end_pod(store, 75, at=moment)
    moment += timedelta(minutes=5)
    await jobs.sync(store, moment)
    await end_pod(store, 143, at=moment, reason=jobs.NODE_SHUTDOWN)
    moment += timedelta(minutes=5)
    await jobs.sync(store, moment)
    assert len(await names(store)) == 3
    await end_pod(store, 1, at=moment)
    await jobs.sync(store, moment)
    assert await conditions(store) == {"Failed": "BackoffLimitExceeded"}


async def test_garbage_goes_generation_by_generation(store: Store) -> None:
    parent = await store.apply(deployment())
    await deployments.sync(store, NOW)
    owner = {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "x",
        "uid": (await store.list(PODS, None))[0]["metadata"]["uid"],
    }
    metadata = {"name": "grandchild", "ownerReferences": [owner]}
    await store.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    await store.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "free"}})
    await garbage.collect(store)
    assert len(await store.list(CONFIG_MAPS, None)) == 2
    await store.delete(DEPLOYMENTS, "default", parent["metadata"]["name"])
    await garbage.collect(store)
    (pod,) = await store.list(PODS, None)
    assert is_ending(pod)
    await store.remove_pod(pod)
    await garbage.collect(store)
    assert [item["metadata"]["name"] for item in await store.list(CONFIG_MAPS, None)] == ["free"]


def inference_service() -> Object:
    containers = [
        {"name": "kserve-container", "image": "vllm"},
        {"name": "transformer-container", "image": "sidecar", "ports": [{"containerPort": 9000, "name": "http1"}]},
    ]
    predictor = {
        "minReplicas": 1,
        "maxReplicas": 1,
        "annotations": {"revision": "r1"},
        "deploymentStrategy": {"type": "Recreate"},
        "containers": containers,
        "terminationGracePeriodSeconds": 7,
    }
    metadata = {"name": "agent", "namespace": "default", "labels": {"tier": "x"}}
    spec = {"predictor": predictor}
    return {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": metadata, "spec": spec}


async def test_an_inference_service_becomes_a_deployment_and_a_service(store: Store) -> None:
    await store.apply(inference_service())
    await kserve.sync(store, lambda name, namespace: f"http://{name}.{namespace}", NOW)
    made = await store.get(DEPLOYMENTS, "default", "agent-predictor")
    assert made is not None
    template = made["spec"]["template"]
    assert template["metadata"]["annotations"] == {"revision": "r1"}
    assert template["metadata"]["labels"]["tier"] == "x"
    assert template["spec"].keys() == {"containers", "terminationGracePeriodSeconds"}
    assert made["spec"]["strategy"] == {"type": "Recreate"}
    service = await store.get(SERVICES, "default", "agent-predictor")
    assert service is not None
    assert service["spec"]["ports"][0]["targetPort"] == 9000
    assert made["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    version = store.version
    await kserve.sync(store, lambda name, namespace: f"http://{name}.{namespace}", NOW)
    assert store.version == version


def test_pods_of_deployments_and_jobs_carry_their_template(golden: Callable[[str, Any], None]) -> None:
    owners = [deployment(), job()]
    for owner in owners:
        owner["metadata"] |= {"uid": "u", "namespace": "default"}
    golden("pods", [deployments.build_pod(owners[0]), jobs.build_pod(owners[1])])


def test_its_status_follows_the_deployment_and_names_a_failed_load() -> None:
    isvc = inference_service()
    isvc["metadata"] |= {"generation": 1, "uid": "u"}
    ready = {"status": {"conditions": [{"type": "Available", "status": "True"}]}}
    status = kserve.build_status(isvc, ready, [], lambda *_: "http://x", NOW)
    assert {item["type"]: item["status"] for item in status["conditions"]} == {
        "IngressReady": "True",
        "PredictorReady": "True",
        "Ready": "True",
    }
    assert status["modelStatus"]["transitionStatus"] == "UpToDate"
    crashing = {
        "name": "kserve-container",
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 3, "message": "no such model"}},
    }
    pod = {"status": {"containerStatuses": [crashing]}}
    failed = kserve.build_status(isvc, None, [pod], lambda *_: "http://x", NOW)["modelStatus"]
    assert failed["transitionStatus"] == "BlockedByFailedLoad"
    assert failed["lastFailureInfo"] == {"reason": "ModelLoadFailed", "message": "no such model", "exitCode": 3}


def is_ending(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


async def conditions(store: Store) -> dict[str, str]:
    (found,) = await store.list(JOBS, None)
    return {item["type"]: item["reason"] for item in found["status"].get("conditions") or []}
