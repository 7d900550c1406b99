"""After an upgrade of the operator running agents keep what they run, until they change anyway."""

from __future__ import annotations

from dataclasses import replace

from disrouter_operator.kube.resources import CASCADES, DEPLOYMENTS, INFERENCE_SERVICES, Object
from disrouter_operator.manifests.serving import inference_service
from disrouter_operator.reconcile.reconciler import Memory, reconcile
from support import clusters
from support.scenes import KEY, SETTINGS, Scene

NEWER = replace(SETTINGS, sidecar_image="sidecar:newer", training_image="trainer:newer")
WORKLOADS = ((INFERENCE_SERVICES, "qwen-small"), (INFERENCE_SERVICES, "qwen-medium"), (DEPLOYMENTS, "qwen-large"))


async def settled(scene: Scene) -> Scene:
    await scene.run(2)
    scene.serve("small", "medium", "large")
    await scene.run(2)
    return scene


async def upgraded(scene: Scene, settings: object = NEWER) -> None:
    for _ in range(2):  # a new process remembers nothing
        await reconcile(scene.kube, KEY, settings, lambda: scene.now, Memory())  # type: ignore[arg-type]


def sidecars(scene: Scene) -> list[str]:
    return [_sidecar(scene.kube.one(resource, name)) for resource, name in WORKLOADS]


def _sidecar(workload: Object) -> str:
    (image,) = [
        each["image"]
        for each in inference_service.pod_spec(workload)["containers"]
        if each["name"] == "transformer-container"
    ]
    return str(image)


async def test_an_upgrade_touches_no_running_agent_and_starts_no_training() -> None:
    scene = await settled(Scene(clusters.example()))
    before = dict(scene.kube.objects)
    await upgraded(scene)
    assert scene.kube.objects == before


async def test_an_agent_gets_the_newer_sidecar_with_its_next_change_and_nobody_else_does() -> None:
    scene = await settled(Scene(clusters.example()))
    manifest = scene.kube.one(CASCADES, "qwen")
    manifest["spec"]["agents"][1]["engine"] = {"args": ["--max-model-len=4096"]}
    scene.kube.put(manifest)
    await upgraded(scene)
    assert sidecars(scene) == ["sidecar:test", "sidecar:newer", "sidecar:test"]


async def test_a_new_agent_starts_with_the_newer_images() -> None:
    scene = await settled(Scene(clusters.example()))
    manifest = scene.kube.one(CASCADES, "qwen")
    manifest["spec"]["agents"].insert(1, {"name": "new", "model": {"uri": "hf://a/b"}, "cost": 0.2})
    scene.kube.put(manifest)
    await upgraded(scene)
    assert _sidecar(scene.kube.one(INFERENCE_SERVICES, "qwen-new")) == "sidecar:newer"
    (job,) = scene.jobs("new")
    assert job["spec"]["template"]["spec"]["containers"][0]["image"] == "trainer:newer"
    assert sidecars(scene) == ["sidecar:test"] * 3


async def test_rolling_agents_at_once_has_to_be_asked_for() -> None:
    scene = await settled(Scene(clusters.example()))
    await upgraded(scene, replace(NEWER, roll_agents=True))
    assert sidecars(scene) == ["sidecar:newer"] * 3


async def test_a_sidecar_image_edited_by_hand_is_not_kept() -> None:
    scene = await settled(Scene(clusters.example()))
    for resource, name in WORKLOADS:
        edited = scene.kube.one(resource, name)
        for container in inference_service.pod_spec(edited)["containers"]:
            container["image"] = "somebody/else:1"
        scene.kube.put(edited)
    await scene.run(2)
    assert sidecars(scene) == ["sidecar:test"] * 3


async def test_a_changed_input_trains_with_the_newer_trainer() -> None:
    scene = await settled(Scene(clusters.example()))
    run = scene.agent("small")["run"]
    manifest = scene.kube.one(CASCADES, "qwen")
    manifest["spec"]["training"]["seed"] = 7
    scene.kube.put(manifest)
    await upgraded(scene)
    assert scene.agent("small")["run"] != run
    images = {job["spec"]["template"]["spec"]["containers"][0]["image"] for job in scene.jobs("small")}
    assert images == {"trainer:newer"}
