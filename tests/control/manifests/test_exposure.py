"""Ways in from outside the cluster: to the entry alone, and none to an agent."""

from __future__ import annotations

import pytest

from disrouter import __version__
from disrouter.api import DeploymentMode
from disrouter_operator.kube.resources import HTTP_ROUTES, INGRESSES, Object
from disrouter_operator.manifests.serving import exposure, inference_service
from disrouter_sidecar.openai import DIALECTS
from disrouter_sidecar.openai.openapi import document
from disrouter_sidecar.openai.pass_through.apis import PASS_THROUGH
from support import clusters
from support.scenes import Scene

ROUTE: Object = {"parentRefs": [{"name": "public"}]}
ANONYMOUS: Object = {"anonymous": True}
INGRESS: Object = {"hosts": ["llm.example.com"]}


def _paths(manifest: Object) -> list[str]:
    rule = manifest["spec"]["rules"][0]
    if manifest["kind"] == "HTTPRoute":
        return [match["path"]["value"] for match in rule["matches"]]
    return [path["path"] for path in rule["http"]["paths"]]


@pytest.mark.parametrize(
    ("mode", "label"),
    [
        (DeploymentMode.STANDARD, "networking.kserve.io/visibility"),
        (DeploymentMode.KNATIVE, "networking.knative.dev/visibility"),
    ],
)
def test_kserve_publishes_no_agent(mode: DeploymentMode, label: str) -> None:
    """The labels are those that KServe's ingress reconcilers look at on an InferenceService."""
    owner = clusters.cascade(clusters.example(deploymentMode=str(mode)))
    service = inference_service.inference_service(owner, owner.spec.agents[0], None, "sidecar:test")
    visible = {name: value for name, value in service["metadata"]["labels"].items() if name.endswith("visibility")}
    assert visible == {label: "cluster-local"}
    assert "labels" not in service["spec"]["predictor"]


def test_what_is_published_is_what_clients_ask_for_and_no_metrics_and_no_probe() -> None:
    served = set(document(DIALECTS, PASS_THROUGH, __version__)["paths"])
    owner = clusters.cascade(clusters.example(auth=ANONYMOUS, httpRoute=ROUTE, ingress=INGRESS))
    for manifest in exposure.ways_in(owner):
        published = {path for path in served if any(path.startswith(f"{each}/") for each in _paths(manifest))}
        assert served - published == {"/openapi.json", "/healthz", "/readyz", "/metrics"}


def test_tls_of_the_sidecars_moves_the_port() -> None:
    owner = clusters.cascade(
        clusters.example(auth=ANONYMOUS, httpRoute=ROUTE, ingress=INGRESS, tls={"secretName": "certificates"})
    )
    route, ingress = exposure.ways_in(owner)
    assert route["spec"]["rules"][0]["backendRefs"][0]["port"] == 443
    path = ingress["spec"]["rules"][0]["http"]["paths"][0]
    assert path["backend"]["service"]["port"]["number"] == 443


async def test_a_cluster_without_the_gateway_api_serves_without_the_route_and_says_so() -> None:
    scene = Scene(clusters.example(auth=ANONYMOUS, httpRoute=ROUTE))
    scene.kube.absent.add(HTTP_ROUTES)
    await scene.run()
    scene.serve("small", "medium", "large")
    await scene.run()
    assert scene.condition("Ready")["status"] == "True"
    assert scene.condition("Degraded")["reason"] == "KindUnknown"
    assert "HTTPRoute of gateway.networking.k8s.io/v1" in scene.condition("Degraded")["message"]
    scene.kube.absent.clear()
    await scene.run()
    assert scene.kube.names(HTTP_ROUTES) == ["qwen"]


async def test_a_cascade_is_published_only_as_long_as_its_manifest_says() -> None:
    scene = Scene(clusters.example(auth=ANONYMOUS, httpRoute=ROUTE, ingress=INGRESS))
    await scene.run()
    assert (scene.kube.names(HTTP_ROUTES), scene.kube.names(INGRESSES)) == (["qwen"], ["qwen"])
    scene.kube.put(clusters.example())
    await scene.run()
    assert (scene.kube.names(HTTP_ROUTES), scene.kube.names(INGRESSES)) == ([], [])
