"""`rollout: surge`: the changed agent comes up beside the one that serves, answers a question, and takes over."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

from disrouter import names
from disrouter_operator.kube.resources import (
    CASCADES,
    DEPLOYMENTS,
    HORIZONTAL_POD_AUTOSCALERS,
    INFERENCE_SERVICES,
    SERVICES,
)
from disrouter_operator.reconcile.probe_runner import ProbeRunner
from disrouter_operator.reconcile.reconciler import Memory
from disrouter_operator.smoke_probe import SmokeProbe
from support import clusters
from support.scenes import SETTINGS, Scene, come_up

OLD = "http://qwen-small-predictor.default.svc.cluster.local"


class Asker:
    """Answers smoke questions as the test says, and remembers them."""

    def __init__(self) -> None:
        self.asked: list[SmokeProbe] = []
        self.answer: str | None = None

    async def __call__(self, probe: SmokeProbe) -> str | None:
        self.asked.append(probe)
        return self.answer


async def surging(asker: Asker, **small: Any) -> tuple[Scene, str]:
    """A scene in which the engine of agent small was changed; and the name of its new InferenceService."""
    manifest = clusters.example(rollout="surge")
    manifest["spec"]["agents"][0] |= small
    scene = Scene(manifest, replace(SETTINGS, smoke=asker))
    await scene.run()
    scene.serve("small", "medium", "large")
    await scene.run()
    change(scene, ["--max-model-len=4096"])
    await scene.run()
    (new,) = set(scene.inference_services("small")) - {"qwen-small"}
    return scene, new


def change(scene: Scene, args: list[str]) -> None:
    manifest = scene.kube.one(CASCADES, "qwen")
    manifest["spec"]["agents"][0]["engine"] = {"args": args}
    scene.kube.put(manifest)


def ready(scene: Scene, name: str) -> None:
    come_up(scene.kube, name, scene.now)


async def answered(scene: Scene) -> None:
    """A reconcile asks, the pods answer, and the answer wakes another reconcile."""
    await scene.run()
    for _ in range(10):
        await asyncio.sleep(0)
    await scene.run()


async def _waited(event: asyncio.Event) -> None:
    await event.wait()


def serving(scene: Scene) -> Any:
    return next(each for each in scene.agent("small")["conditions"] if each["type"] == "Serving")


def workload(scene: Scene) -> Any:
    return scene.agent("small")["workload"]


async def test_requests_stay_with_the_old_pods_until_the_new_ones_serve_and_answer() -> None:
    asker = Asker()
    scene, new = await surging(asker)
    old = scene.kube.one(INFERENCE_SERVICES, "qwen-small")
    assert scene.table().agents["small"].url == OLD
    assert (serving(scene)["status"], serving(scene)["reason"]) == ("True", "Surging")
    assert scene.condition("Ready")["status"] == "True"
    assert asker.asked == []
    ready(scene, new)
    await scene.run()
    assert "is asked a question" in serving(scene)["message"]
    assert scene.table().agents["small"].url == OLD, "it has not answered yet"
    await answered(scene)
    assert asker.asked == [SmokeProbe(new, f"http://{new}-predictor.default.svc.cluster.local", "qwen/small")]
    assert scene.table().agents["small"].url == asker.asked[0].url
    assert scene.kube.one(SERVICES, "qwen")["spec"]["selector"][names.LABEL_WORKLOAD] == new
    assert scene.kube.one(INFERENCE_SERVICES, "qwen-small") == old
    assert workload(scene) == f"InferenceService/{new}"
    assert scene.reasons().count("Switched") == 1
    scene.now += timedelta(seconds=90)
    await scene.run()
    assert scene.inference_services("small") == [new]
    scene.kube.writes.clear()
    await scene.run(2)
    assert (scene.kube.writes, len(asker.asked)) == ([("status", "SelfRoutingCascade", "qwen")], 1)


async def test_pods_that_do_not_answer_well_get_no_request_until_they_do() -> None:
    asker, later = Asker(), asyncio.Event()
    scene, new = await surging(asker)
    scene.memory = Memory(probes=ProbeRunner(sleep=lambda _: _waited(later)))
    asker.answer = "HTTP 500: no kernel image is available"
    ready(scene, new)
    await answered(scene)
    assert scene.table().agents["small"].url == OLD
    assert (serving(scene)["status"], serving(scene)["reason"]) == ("True", "SmokeFailed")
    assert "no kernel image" in serving(scene)["message"]
    scene.kube.writes.clear()
    await scene.run(2)
    assert (scene.kube.writes, len(asker.asked)) == ([], 1), "the status rests between two questions"
    asker.answer = None
    later.set()
    await answered(scene)
    assert workload(scene) == f"InferenceService/{new}"


async def test_going_back_before_the_switch_returns_to_the_pods_that_never_stopped() -> None:
    scene, new = await surging(Asker())
    manifest = scene.kube.one(CASCADES, "qwen")
    del manifest["spec"]["agents"][0]["engine"]
    scene.kube.put(manifest)
    await scene.run()
    assert workload(scene) == "InferenceService/qwen-small"
    scene.now += timedelta(seconds=90)
    await scene.run()
    assert scene.inference_services("small") == ["qwen-small"]
    assert new not in scene.kube.names(INFERENCE_SERVICES)


async def test_each_replaced_revision_gets_its_whole_drain() -> None:
    scene, first = await surging(Asker())
    ready(scene, first)
    await answered(scene)
    scene.now += timedelta(seconds=80)
    change(scene, ["--max-model-len=2048"])
    await scene.run()
    (second,) = set(scene.inference_services("small")) - {"qwen-small", first}
    ready(scene, second)
    await answered(scene)
    assert workload(scene) == f"InferenceService/{second}"
    scene.now += timedelta(seconds=89)
    await scene.run()
    assert first in scene.inference_services("small")
    scene.now += timedelta(seconds=1)
    await scene.run()
    assert scene.inference_services("small") == [second]


async def test_a_lost_status_finds_the_pods_that_serve() -> None:
    scene, new = await surging(Asker())
    scene.kube.one(INFERENCE_SERVICES, "qwen-small")["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    scene.kube.one(INFERENCE_SERVICES, new)["metadata"]["creationTimestamp"] = "2026-01-01T01:00:00Z"
    scene.kube.set_status(CASCADES, "qwen", {})
    await scene.run()
    assert scene.table().agents["small"].url == OLD


async def test_a_promoted_run_surges_too_and_is_trained_only_with_its_own_pods() -> None:
    scene = Scene(clusters.example(rollout="surge"), SETTINGS)
    await scene.run()
    scene.serve("small", "medium", "large")
    await scene.train("small", 0.1)
    (new,) = set(scene.inference_services("small")) - {"qwen-small"}
    assert (scene.agent("small")["phase"], scene.agent("small")["reason"]) == ("Promoting", "Surging")
    assert scene.table().agents["small"].awareness == "prompted"
    ready(scene, new)
    await scene.run()
    assert scene.agent("small")["phase"] == "Ready"
    assert scene.table().agents["small"].awareness == "trained"


async def test_pods_that_an_autoscaler_took_are_asked_nothing_and_take_over_once_the_old_ones_are_gone_too() -> None:
    asker = Asker()
    scene, new = await surging(asker, autoscaling={"autoscaler": "external"})
    ready(scene, new)
    scale_to_zero(scene, new)
    await answered(scene)
    assert (workload(scene), asker.asked) == ("InferenceService/qwen-small", [])
    assert serving(scene)["reason"] == "Surging"
    scale_to_zero(scene, "qwen-small")
    await answered(scene)
    assert (workload(scene), asker.asked) == (f"InferenceService/{new}", [])
    assert scene.agent("small")["ready"]


def scale_to_zero(scene: Scene, name: str) -> None:
    deployment = scene.kube.one(DEPLOYMENTS, names.predictor(name))
    scene.kube.put({**deployment, "spec": {**deployment["spec"], "replicas": 0}, "status": {"observedGeneration": 99}})


async def test_replicas_change_in_place() -> None:
    scene = Scene(clusters.example(rollout="surge"), SETTINGS)
    await scene.run()
    manifest = scene.kube.one(CASCADES, "qwen")
    scene.serve("small")
    manifest["spec"]["agents"][0]["replicas"] = {"min": 2, "max": 4}
    scene.kube.put(manifest)
    await scene.run()
    assert scene.inference_services("small") == ["qwen-small"]
    assert scene.kube.one(DEPLOYMENTS, "qwen-small-predictor")["spec"]["replicas"] == 2


async def test_what_comes_up_beside_another_gets_as_many_pods() -> None:
    scene = Scene(clusters.example(rollout="surge"), SETTINGS)
    manifest = scene.kube.one(CASCADES, "qwen")
    manifest["spec"]["agents"][0] |= {"replicas": {"min": 1, "max": 4}, "resources": {"limits": {"cpu": "1"}}}
    scene.kube.put(manifest)
    await scene.run()
    scene.serve("small", "medium", "large")
    old = scene.kube.one(DEPLOYMENTS, "qwen-small-predictor")
    scene.kube.put({**old, "spec": {**old["spec"], "replicas": 3}})  # as its autoscaler has done
    change(scene, ["--max-model-len=4096"])
    await scene.run()
    (new,) = set(scene.inference_services("small")) - {"qwen-small"}
    made = clusters.predictor_deployment(scene.kube.one(INFERENCE_SERVICES, new))
    scene.kube.put(made)
    await scene.run()
    assert scene.kube.one(DEPLOYMENTS, names.predictor(new))["spec"]["replicas"] == 3
    autoscalers = {name: scene.kube.one(HORIZONTAL_POD_AUTOSCALERS, name) for name in (new, "qwen-small")}
    assert {name: each["spec"]["minReplicas"] for name, each in autoscalers.items()} == {new: 3, "qwen-small": 1}


async def test_what_kserve_scales_until_it_drains_gets_no_second_autoscaler() -> None:
    """An older release let KServe make the HPA of the InferenceService that a surge now replaces."""
    scene = Scene(clusters.example(rollout="surge"), SETTINGS)
    manifest = scene.kube.one(CASCADES, "qwen")
    manifest["spec"]["agents"][0] |= {"replicas": {"min": 2, "max": 4}, "resources": {"limits": {"cpu": "1"}}}
    scene.kube.put(manifest)
    await scene.run()
    scene.serve("small", "medium", "large")
    old, deployment = (
        scene.kube.one(kind, name)
        for kind, name in ((INFERENCE_SERVICES, "qwen-small"), (DEPLOYMENTS, "qwen-small-predictor"))
    )
    old["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] = "hpa"
    former = scene.kube.one(HORIZONTAL_POD_AUTOSCALERS, "qwen-small")
    theirs = {key: deployment["metadata"][key] for key in ("name", "namespace", "labels", "ownerReferences")}
    scene.kube.put({**former, "metadata": theirs})
    change(scene, ["--max-model-len=4096"])
    scene.kube.put({**deployment, "spec": {**deployment["spec"], "replicas": 1}})
    await scene.run(2)
    (new,) = set(scene.inference_services("small")) - {"qwen-small"}
    assert scene.kube.names(HORIZONTAL_POD_AUTOSCALERS) == sorted([new, "qwen-small-predictor"])
    assert scene.kube.one(DEPLOYMENTS, "qwen-small-predictor")["spec"]["replicas"] == 1, "its HPA's to say"
