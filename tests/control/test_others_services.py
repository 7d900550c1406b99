"""The real operator with its own rights, beside services of KServe that somebody else keeps on a real API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from disrouter import names
from disrouter_operator.kube.api_server import ApiServer
from disrouter_operator.kube.resource_versions import ResourceVersions
from disrouter_operator.kube.resources import CASCADES, INFERENCE_SERVICES, LLM_INFERENCE_SERVICES, Object
from disrouter_operator.operator import Options
from support import clusters, operators, others
from support.controlplane import ControlPlane
from support.places import Place

pytestmark = pytest.mark.controlplane

SERVICES = {"InferenceService": "inferenceservice", "LLMInferenceService": "llminferenceservice"}


@dataclass(frozen=True)
class Beside:
    """A namespace with a cascade and its neighbours' services."""

    place: Place

    def keep(self, service: Object) -> None:
        """Its keeper makes it and KServe writes its status."""
        kind, name = SERVICES[service["kind"]], service["metadata"]["name"]
        manifest = {key: value for key, value in service.items() if key != "status"}
        self.place.plane.apply(manifest | {"metadata": {"name": name, "namespace": self.place.namespace}})
        self.place.patch_status(kind, name, service["status"])

    def live(self, service: Object) -> Any:
        named = (SERVICES[service["kind"]], service["metadata"]["name"], "-n", self.place.namespace)
        return json.loads(self.place.plane.kubectl("get", *named, "-o", "json", "--show-managed-fields"))

    def agent(self, name: str) -> Any:
        return next(each for each in self.place.cascade()["status"]["agents"] if each["name"] == name)

    def environment(self, agent: str) -> dict[str, str]:
        """Of an agent's sidecar; empty while there is none."""
        found = self.place.plane.get("deployments", self.place.namespace, f"--selector={names.LABEL_AGENT}={agent}")
        pods = [each["spec"]["template"]["spec"]["containers"][0]["env"] for each in found["items"]]
        return {each["name"]: each.get("value", "") for each in pods[0]} if pods else {}

    def asks(self, agent: str, url: str) -> None:
        """Wait until a sidecar asks there."""
        self.place.until(lambda: self.environment(agent).get("DISROUTER_ENGINE_URL") == url, url)


@pytest.fixture(scope="module")
def beside(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    kubeconfig = operators.service_account(plane, tmp_path_factory.mktemp("operator"))
    settings = Options(settings=operators.SETTINGS, host="127.0.0.1", port=0, resync_seconds=3600)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(kubeconfig))
        with operators.running(kubeconfig, settings):
            yield Beside(Place(plane, "beside"))


def _manifest() -> Object:
    manifest = clusters.example(drainSeconds=0)
    small, _, large = manifest["spec"]["agents"]
    small["selfAwareness"] = {"mode": "prompted"}
    shared = {"name": "shared", "serviceRef": {"kind": "InferenceService", "name": "llama"}, "cost": 0.4}
    pooled = {"name": "pooled", "serviceRef": {"kind": "LLMInferenceService", "name": "phi"}, "cost": 0.5}
    manifest["spec"]["agents"] = [small, shared, pooled, large]
    manifest["spec"].pop("training")
    return manifest


def test_they_are_followed_and_never_written(beside: Beside) -> None:
    place = beside.place
    llama = others.inference_service()
    phi = others.llm_inference_service("phi", {"url": "http://gateway.kserve.svc.cluster.local/beside/phi"})
    place.apply(_manifest())
    place.until(lambda: beside.agent("shared")["reason"] == beside.agent("pooled")["reason"] == "ServiceMissing")
    beside.keep(llama)
    beside.keep(phi)
    beside.asks("shared", "http://llama-predictor.default.svc.cluster.local/v1")
    beside.asks("pooled", "http://gateway.kserve.svc.cluster.local/beside/phi/v1")
    place.serve("small")
    for agent in ("shared", "pooled", "large"):
        place.external(agent)
    place.until(lambda: place.condition("Ready")["status"] == "True", "Ready")

    moved = others.inference_service(at="http://llama.beside.svc.cluster.local")
    beside.keep(moved)
    beside.asks("shared", "http://llama.beside.svc.cluster.local/v1")
    for service in (moved, phi):
        live = beside.live(service)
        assert live["metadata"].get("ownerReferences") is None
        managers = {each["manager"] for each in live["metadata"]["managedFields"]}
        assert names.FIELD_MANAGER not in managers, managers

    place.plane.kubectl("delete", "inferenceservice", "llama", "-n", place.namespace)
    place.until(lambda: beside.agent("shared").get("reason") != "Ready" and _reason(beside) == "ServiceMissing")
    place.plane.kubectl("delete", "src", "qwen", "-n", place.namespace)
    place.until(lambda: not place.versions(), "the cascade's end")
    assert beside.live(phi)["spec"]["model"]["uri"] == phi["spec"]["model"]["uri"], "what others keep stays"


def _reason(beside: Beside) -> Any:
    return next(each["reason"] for each in beside.agent("shared")["conditions"] if each["type"] == "Serving")


@pytest.mark.parametrize("kind", [INFERENCE_SERVICES, LLM_INFERENCE_SERVICES], ids=lambda kind: kind.kind)
async def test_what_no_watch_of_ours_tells_is_not_waited_for(plane: ControlPlane, kind: Any) -> None:
    """The watches are by our label: a watch that owes what carries none would be started again and again."""
    service = others.inference_service("unlabelled") if kind == INFERENCE_SERVICES else others.llm_inference_service()
    plane.apply({key: value for key, value in service.items() if key != "status"})
    versions = ResourceVersions(monotonic=iter(range(100)).__next__)
    versions.restarted([CASCADES, INFERENCE_SERVICES])
    async with await operators.api_client(plane.kubeconfig) as client:
        kube = ApiServer(client, versions=versions)
        assert await kube.get(kind, "default", service["metadata"]["name"]) is not None
        assert versions.lag() == 0
    plane.kubectl("delete", SERVICES[kind.kind], service["metadata"]["name"])
