"""An agent that is a service of KServe which somebody else keeps: a sidecar of ours in front, and nothing of theirs
touched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from disrouter.routes import Awareness
from disrouter_operator.errors import KubeError, Rejected, Unreachable
from disrouter_operator.kube.resources import (
    CASCADES,
    DEPLOYMENTS,
    INFERENCE_SERVICES,
    LLM_INFERENCE_SERVICES,
    SERVICES,
    Object,
    Resource,
    ServiceKey,
)
from disrouter_operator.manifests.serving import inference_service
from disrouter_operator.reconcile.listed_kinds import ListedKinds
from disrouter_operator.reconcile.reconciler import Memory
from disrouter_operator.reconcile.referred_services import ReferredServices
from support import clusters, others
from support.gitops import kstatus
from support.kube_fake import KubeFake
from support.scenes import KEY, Scene

LLAMA: Object = {"kind": "InferenceService", "name": "llama"}
PHI: Object = {"kind": "LLMInferenceService", "name": "phi"}
GATEWAY: Object = {"url": "http://gateway.kserve.svc.cluster.local/default/phi"}


def _manifest(reference: Object = LLAMA, **agent: Any) -> Object:
    """The example, with another's service in the place of its agent in the middle."""
    manifest = clusters.example()
    small, medium, large = manifest["spec"]["agents"]
    shared = {"name": "shared", "serviceRef": dict(reference), "cost": medium["cost"], **agent}
    manifest["spec"] |= {"agents": [small | {"selfAwareness": {"mode": "prompted"}}, shared, large]}
    manifest["spec"].pop("training")
    return manifest


async def _scene(*services: Object, reference: Object = LLAMA) -> Scene:
    scene = Scene(_manifest(reference))
    for service in services:
        scene.kube.put(service)
    await scene.run(2)
    return scene


def _environment(scene: Scene) -> dict[str, Any]:
    deployment = scene.kube.one(DEPLOYMENTS, "qwen-shared")
    (container,) = inference_service.pod_spec(deployment)["containers"]
    return {each["name"]: each.get("value") for each in container["env"]}


def _serving(scene: Scene) -> Any:
    return next(each for each in scene.agent("shared")["conditions"] if each["type"] == "Serving")


async def test_a_sidecar_of_ours_stands_before_it_and_nothing_of_it_is_written() -> None:
    service = others.inference_service()
    scene = await _scene(service)
    environment = _environment(scene)
    assert environment["DISROUTER_ENGINE_URL"] == "http://llama-predictor.default.svc.cluster.local/v1"
    assert environment["DISROUTER_ENGINE_HEALTH"] == "http://llama-predictor.default.svc.cluster.local/v1/models"
    assert environment["DISROUTER_ENGINE_MODEL"] == "llama-8b"
    route = scene.table().agents["shared"]
    assert (route.url, route.awareness) == ("http://qwen-shared.default.svc.cluster.local", Awareness.PROMPTED)
    assert [write for write in scene.kube.writes if write[2] == "llama"] == []
    live = scene.kube.one(INFERENCE_SERVICES, "llama")
    assert {key: live[key] for key in ("spec", "status")} == {key: service[key] for key in ("spec", "status")}
    scene.serve("small", "shared", "large")
    await scene.settle()
    assert scene.agent("shared")["phase"] == "Ready"
    assert scene.condition("Ready")["status"] == "True"
    scene.kube.writes.clear()
    await scene.run(2)
    assert scene.kube.writes == []


async def test_an_llm_inference_service_is_one_too() -> None:
    scene = await _scene(others.llm_inference_service("phi", GATEWAY, model="phi-4"), reference=PHI)
    environment = _environment(scene)
    assert environment["DISROUTER_ENGINE_URL"] == f"{GATEWAY['url']}/v1"
    assert environment["DISROUTER_ENGINE_MODEL"] == "phi-4"


async def test_while_it_is_missing_the_entry_passes_over_it_and_its_reason_says_what_to_do() -> None:
    scene = Scene(_manifest())
    await scene.run(2)
    assert scene.kube.names(DEPLOYMENTS) == ["qwen-large"]
    assert scene.kube.names(SERVICES) == ["qwen", "qwen-large", "qwen-shared"], "its address is there before it"
    agent = scene.agent("shared")
    assert (agent["phase"], agent["reason"]) == ("Pending", "ServiceMissing")
    assert "make it, or correct spec.agents[1].serviceRef" in agent["message"]
    scene.serve("large")
    await scene.run()
    assert scene.table().entrypoint == "large"
    assert scene.condition("AgentsReady")["reason"] == "ServiceMissing"
    assert kstatus(scene.kube.one(CASCADES, "qwen")) == "InProgress", "it may be made at any moment"
    assert "ServiceMissing" in scene.reasons()
    scene.kube.put(others.inference_service())
    await scene.run()
    scene.serve("shared")
    await scene.settle()
    assert scene.table().entrypoint == "shared"


@pytest.mark.parametrize(
    ("service", "phase", "reason"),
    [
        (others.inference_service(ready={"type": "Ready", "status": "False"}), "Pending", "ServiceNotReady"),
        (others.inference_service(at=None), "Pending", "ServiceWithoutAddress"),
        (others.inference_service("llama", "--port=8080"), "ServingFailed", "ModelUnnamed"),
    ],
    ids=["not ready", "no address", "no name"],
)
async def test_what_it_lacks_is_the_agents_condition(service: Object, phase: str, reason: str) -> None:
    scene = await _scene(service)
    agent = scene.agent("shared")
    assert (agent["phase"], agent["reason"], _serving(scene)["reason"]) == (phase, reason, reason)
    assert _serving(scene)["status"] == "False"


async def test_its_pods_serve_while_its_sidecar_is_ready_whatever_its_condition_says() -> None:
    """KServe unreadies a service of three pods that has lost one."""
    scene = await _scene(others.inference_service())
    scene.serve("small", "shared", "large")
    await scene.settle()
    one_lost = {"type": "Ready", "status": "False", "reason": "MinimumReplicasUnavailable"}
    scene.kube.put(others.inference_service(ready=one_lost))
    await scene.run()
    serving = _serving(scene)
    assert (serving["status"], serving["reason"]) == ("True", "ServiceNotReady")
    assert scene.condition("Ready")["status"] == "True"
    scene.fall_silent("shared")
    await scene.run()
    assert _serving(scene)["status"] == "False"


async def test_its_address_follows_and_a_sidecar_is_left_as_it_is_while_there_is_none() -> None:
    scene = await _scene(others.inference_service())
    before = scene.kube.one(DEPLOYMENTS, "qwen-shared")
    await scene.kube.delete(INFERENCE_SERVICES, "default", "llama")
    scene.kube.writes.clear()
    await scene.run(2)
    assert scene.agent("shared")["reason"] == "ServiceMissing"
    assert scene.kube.one(DEPLOYMENTS, "qwen-shared") == before
    assert [write for write in scene.kube.writes if write[0] != "status" and write[1] != "Event"] == []
    assert "drainingSince" not in scene.agent("shared")
    scene.kube.put(others.inference_service(at="http://llama.default.svc.cluster.local"))
    await scene.run()
    assert _environment(scene)["DISROUTER_ENGINE_URL"] == "http://llama.default.svc.cluster.local/v1"


@pytest.mark.parametrize(
    ("kind", "reference"), [(INFERENCE_SERVICES, LLAMA), (LLM_INFERENCE_SERVICES, PHI)], ids=["one", "llm"]
)
async def test_without_its_kind_the_agent_says_so_and_the_others_serve(kind: Resource, reference: Object) -> None:
    scene = Scene(_manifest(reference))
    scene.kube.absent.add(kind)
    scene.memory = Memory(listed=ListedKinds(lambda: frozenset({kind})))
    await scene.run(2)
    agent = scene.agent("shared")
    assert (agent["phase"], agent["reason"]) == ("ServingFailed", "KServeMissing")
    assert f"the cluster has no {kind.kind} of {kind.api_version}" in agent["message"]
    scene.serve("large")
    await scene.run()
    assert scene.condition("EndpointReady")["status"] == "True"


class _Refusing(KubeFake):
    """An API server that does not show services of one kind."""

    def __init__(self, error: KubeError) -> None:
        super().__init__()
        self.error: KubeError | None = error

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        if resource == LLM_INFERENCE_SERVICES and self.error is not None:
            raise self.error
        return await super().get(resource, namespace, name)


def _refused(error: KubeError) -> tuple[Scene, _Refusing]:
    scene, kube = Scene(_manifest(PHI)), _Refusing(error)
    kube.put(_manifest(PHI))
    scene.kube = kube
    return scene, kube


async def test_one_that_may_not_be_read_holds_up_its_agent_alone() -> None:
    scene, kube = _refused(Rejected("GET /phi: 403: llminferenceservices is forbidden", 403))
    await scene.run(2)
    agent = scene.agent("shared")
    assert (agent["phase"], agent["reason"]) == ("ServingFailed", "ServiceUnreadable")
    assert "403: llminferenceservices is forbidden" in agent["message"]
    assert "get llminferenceservices.serving.kserve.io (docs/security.md)" in agent["message"]
    assert scene.kube.names(INFERENCE_SERVICES) == ["qwen-small"]
    kube.error = None
    kube.put(others.llm_inference_service("phi", GATEWAY))
    await scene.run()
    assert scene.kube.names(DEPLOYMENTS) == ["qwen-large", "qwen-shared"]


async def test_one_whose_webhook_is_away_is_waited_for() -> None:
    scene, kube = _refused(KubeError("GET /phi: 500: conversion webhook for LLMInferenceService failed", 500))
    await scene.run(2)
    agent = scene.agent("shared")
    assert (agent["phase"], agent["reason"]) == ("Pending", "ServiceUnreadable")
    assert "500: conversion webhook" in agent["message"]
    assert "get llminferenceservices" not in agent["message"], "no right cures it"
    assert kstatus(scene.kube.one(CASCADES, "qwen")) == "InProgress"
    kube.error = None
    kube.put(others.llm_inference_service("phi", GATEWAY))
    await scene.run()
    assert scene.kube.names(DEPLOYMENTS) == ["qwen-large", "qwen-shared"]


TROUBLES = {
    "away": Unreachable("GET /phi: the API server did not answer"),
    "full": KubeError("GET /phi: 429: not sent, because the API server puts requests off", 429),
    "without a leader": KubeError("GET /phi: 500: etcdserver: leader changed", 500),
    "not ready": KubeError("GET /phi: 503: apiserver not ready", 503),
    "slow": KubeError("GET /phi: 504: request did not complete within requested timeout", 504),
}


@pytest.mark.parametrize(
    ("mode", "least", "asked"),
    [
        ("Knative", 0, False),
        ("Serverless", 0, False),
        ("Knative", 1, True),
        ("Knative", None, True),
        ("Standard", 0, True),
        ("RawDeployment", 0, True),
    ],
)
async def test_one_that_knative_lets_sleep_is_not_kept_awake(mode: str, least: int | None, asked: bool) -> None:
    sleeper = others.inference_service(deploymentMode=mode)
    if least is not None:
        sleeper["spec"]["predictor"]["minReplicas"] = least
    scene = await _scene(sleeper)
    assert ("DISROUTER_ENGINE_HEALTH" in _environment(scene)) == asked


async def test_one_that_is_not_asked_serves_by_its_own_word() -> None:
    sleeper = others.inference_service(deploymentMode="Knative")
    sleeper["spec"]["predictor"]["minReplicas"] = 0
    scene = await _scene(sleeper)
    scene.serve("small", "shared", "large")
    await scene.settle()
    assert scene.agent("shared")["ready"]
    failing = {"type": "Ready", "status": "False", "reason": "RevisionFailed", "message": "image is missing"}
    scene.kube.set_status(INFERENCE_SERVICES, "llama", {**sleeper["status"], "conditions": [failing]})
    await scene.run(2)
    agent = scene.agent("shared")
    assert (agent["ready"], agent["reason"]) == (False, "ServiceNotReady")


@pytest.mark.parametrize("case", TROUBLES)
async def test_an_api_server_in_trouble_is_no_news_of_a_service(case: str) -> None:
    scene, kube = _refused(TROUBLES[case])
    woken: list[Any] = []
    scene.memory = Memory(services=ReferredServices(woken.append))
    with pytest.raises(KubeError, match=str(TROUBLES[case])):
        await scene.run()
    kube.error = None
    await scene.run()
    kube.error = TROUBLES[case]
    await scene.memory.services.look(kube)
    assert woken == []


class _Looking:
    """A cascade that was reconciled, and what looks at the services that it refers to."""

    def __init__(self, *services: Object, reference: Object = LLAMA) -> None:
        self.woken: list[Any] = []
        self.scene = Scene(_manifest(reference))
        self.scene.memory = Memory(services=ReferredServices(self.woken.append))
        for service in services:
            self.scene.kube.put(service)

    async def look(self) -> list[Any]:
        self.woken.clear()
        await self.scene.memory.services.look(self.scene.kube)
        return list(self.woken)


Change = Callable[[KubeFake], object]


@pytest.mark.parametrize(
    "change",
    [
        lambda kube: kube.set_status(INFERENCE_SERVICES, "llama", {"conditions": []}),
        lambda kube: kube.objects.pop((INFERENCE_SERVICES, "default", "llama")),
    ],
    ids=["changed", "gone"],
)
async def test_what_becomes_of_it_wakes_the_cascades_that_refer_to_it(change: Change) -> None:
    looking = _Looking(others.inference_service())
    await looking.scene.run()
    assert await looking.look() == []
    change(looking.scene.kube)
    assert await looking.look() == [KEY]
    assert await looking.look() == [KEY], "until it was reconciled with it"
    await looking.scene.run()
    assert await looking.look() == []


async def test_one_that_is_made_wakes_them_and_a_cascade_that_is_gone_is_not_woken() -> None:
    looking = _Looking()
    await looking.scene.run()
    assert await looking.look() == []
    looking.scene.kube.put(others.inference_service())
    assert await looking.look() == [KEY]
    await looking.scene.kube.delete(CASCADES, *KEY)
    await looking.scene.run()
    assert await looking.look() == []


async def test_a_cascade_that_refers_to_nothing_asks_for_nothing() -> None:
    asked: list[ServiceKey] = []

    class _Asked(KubeFake):
        async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
            asked.append(ServiceKey(resource, name))
            return await super().get(resource, namespace, name)

    scene, kube = Scene(clusters.example()), _Asked()
    kube.put(clusters.example())
    scene.kube = kube
    await scene.run(2)
    asked.clear()
    await scene.run()
    await scene.memory.services.look(kube)
    assert {each.resource for each in asked} == {CASCADES}
