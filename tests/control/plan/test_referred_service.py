"""What an agent learns of a service of KServe that others keep: its address, its model's name, what it lacks."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from disrouter import names
from disrouter.api import ServiceKind, ServiceRef
from disrouter_operator.kube.observed import CHILDREN, Observed
from disrouter_operator.kube.resources import LLM_INFERENCE_SERVICES, Object
from disrouter_operator.manifests.serving.sidecar_container import Provider
from disrouter_operator.plan.referred import served_model
from disrouter_operator.plan.referred.referred_service import ReferredService, look
from support import kserve_judge, others
from support.controlplane import llm_crd

FIELD = "spec.agents[1].serviceRef"
INSIDE, OUTSIDE = "http://gateway.kserve.svc.cluster.local/default/phi", "https://llm.example.com/default/phi"


def _look(service: Object, **wanted: Any) -> ReferredService:
    reference = ServiceRef(kind=ServiceKind(service["kind"]), name=service["metadata"]["name"], **wanted)
    observed = Observed({}, {kind: {} for kind in CHILDREN}, services=others.found(service))
    return look(observed, reference, FIELD)


def _provider(service: Object, **wanted: Any) -> Provider:
    found = _look(service, **wanted)
    assert found.provider is not None, found
    return found.provider


SERVICES = [
    others.inference_service(),
    others.of_runtime("qwen", "huggingface", "--model_name=qwen-7b"),
    others.llm_inference_service("phi", {"url": INSIDE, "name": "gateway-internal"}, model="phi-4"),
]


@pytest.mark.parametrize("service", SERVICES, ids=lambda each: each["metadata"]["name"])
def test_what_tests_take_for_anothers_service_is_one_by_kserves_schema(service: Object) -> None:
    if service["kind"] == LLM_INFERENCE_SERVICES.kind:
        schema = llm_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        assert [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(service)] == []
    else:
        assert kserve_judge.schema_faults(service) == []


@pytest.mark.parametrize(
    ("service", "url", "model"),
    [
        (SERVICES[0], "http://llama-predictor.default.svc.cluster.local/v1", "llama-8b"),
        (SERVICES[1], "http://qwen-predictor.default.svc.cluster.local/openai/v1", "qwen-7b"),
        (SERVICES[2], f"{INSIDE}/v1", "phi-4"),
    ],
    ids=["of vLLM", "of KServe's server", "behind a gateway"],
)
def test_address_and_model_are_the_services_own(service: Object, url: str, model: str) -> None:
    provider = _provider(service)
    assert (provider.url, provider.model) == (url, model)
    assert provider.health == f"{url}/models", "whether it serves is asked of its API"


def test_what_the_manifest_says_wins() -> None:
    key = {"name": "shared", "key": "token"}
    provider = _provider(others.inference_service(), model="base", path="/openai/v1", api_key_secret_ref=key)
    assert (provider.model, provider.url.partition("cluster.local")[2]) == ("base", "/openai/v1")
    assert provider.api_key is not None
    assert provider.api_key.dump() == key


@pytest.mark.parametrize(
    ("status", "url"),
    [
        ({"url": "http://llama-default.example.com"}, "http://llama-predictor.default.svc.cluster.local"),
        ({"address": {"url": "http://llama.default.svc.cluster.local/v1/models/llama:predict"}}, None),
        ({"at": None, "url": "https://llama.example.com"}, "https://llama.example.com"),
    ],
    ids=["inside before outside", "without the path of another protocol", "outside where there is no other"],
)
def test_an_inference_service_is_asked_at_its_host(status: Object, url: str | None) -> None:
    provider = _provider(others.inference_service(**status))
    assert provider.url == f"{url or 'http://llama.default.svc.cluster.local'}/v1"


@pytest.mark.parametrize(
    ("addresses", "url"),
    [
        ([{"url": OUTSIDE}, {"url": INSIDE}], INSIDE),
        ([{"url": OUTSIDE}], OUTSIDE),
        (
            [
                {
                    "url": "http://gateway.kserve.svc.cluster.local/",
                    "models": [{"name": "publishers/default/models/phi"}],
                },
                {"url": OUTSIDE, "models": [{"name": "publishers/default/models/phi"}, {"name": "phi"}]},
            ],
            OUTSIDE,
        ),
        (
            [{"url": "https://phi-kserve-workload-svc.default.svc.cluster.local"}],
            "https://phi-kserve-workload-svc.default.svc.cluster.local:8000",
        ),
        (
            [{"url": "http://phi-kserve-workload-svc.default.svc.cluster.local:8001"}],
            "http://phi-kserve-workload-svc.default.svc.cluster.local:8001",
        ),
    ],
    ids=["inside first", "outside alone", "not where the model has another name", "the port left out", "the port said"],
)
def test_an_llm_inference_service_is_asked_where_its_model_has_its_name(addresses: list[Object], url: str) -> None:
    provider = _provider(others.llm_inference_service("phi", *addresses))
    assert (provider.url, provider.model) == (f"{url}/v1", "phi")


@pytest.mark.parametrize(
    ("arguments", "model"),
    [
        (("--model", "org/m", "--served-model-name", "m"), "m"),
        (("--served_model_name=m", "--model=org/m"), "m"),
        (("--served-model-name=old", "--served-model-name=m"), "m"),
        (("--model=org/m",), "org/m"),
        (("vllm", "serve", "org/m", "--port=8080"), "org/m"),
        (("vllm", "serve", "org/m", "--served-model-name", "m"), "m"),
        (("--served-model-name=$(NAME)",), None),
        (("sh", "-c", "exec vllm serve org/m"), None),
        (("--port=8080",), None),
        (("serve", "--port=8080"), None),
    ],
)
def test_a_models_name_is_read_from_its_servers_arguments(arguments: tuple[str, ...], model: str | None) -> None:
    assert served_model.name(others.inference_service("llama", *arguments)) == model


def test_kserves_server_names_a_model_after_its_service_and_other_runtimes_say_nothing() -> None:
    assert served_model.name(others.of_runtime("qwen", "huggingface")) == "qwen"
    assert served_model.name(others.of_runtime("qwen", "vLLM")) is None


def test_a_model_without_a_name_is_asked_for_by_its_field() -> None:
    found = _look(others.of_runtime("qwen", "vLLM"))
    assert found.failure == (
        "ModelUnnamed",
        f"InferenceService qwen does not say under which name it serves its model; say it in {FIELD}.model",
    )
    assert found.provider is None


def _not_ready(**fields: Any) -> Object:
    return {"type": "Ready", "status": "False", **fields}


@pytest.mark.parametrize(
    ("service", "reason", "words"),
    [
        (
            others.inference_service(ready=_not_ready(reason="PredictorNotReady", message="no node fits")),
            "ServiceNotReady",
            "InferenceService llama is not ready: PredictorNotReady: no node fits",
        ),
        (others.inference_service(ready=None), "ServiceNotReady", "KServe says no more"),
        (
            others.inference_service(at=None),
            "ServiceWithoutAddress",
            "has no address for model llama-8b in its status",
        ),
        (
            others.llm_inference_service("phi", {"url": INSIDE, "models": [{"name": "other"}]}),
            "ServiceWithoutAddress",
            "has no address for model phi",
        ),
        (others.inference_service(at="javascript:x"), "ServiceWithoutAddress", "has no address"),
        (others.inference_service(at=None, ready=None), "ServiceNotReady", "is not ready"),
    ],
    ids=["not ready", "nothing said", "no address", "none for its model", "no http", "neither ready nor an address"],
)
def test_what_it_lacks_has_a_reason_of_its_own(service: Object, reason: str, words: str) -> None:
    trouble = _look(service).trouble
    assert trouble is not None
    assert trouble[0] == reason
    assert words in trouble[1]


def test_one_that_is_not_ready_keeps_its_address() -> None:
    assert _look(others.inference_service(ready=_not_ready(reason="MinimumReplicasUnavailable"))).provider is not None


def test_one_that_is_being_deleted_says_so() -> None:
    service = others.inference_service()
    service["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert _look(service).trouble == ("ServiceNotReady", "InferenceService llama is being deleted")


def test_an_agent_of_a_cascade_is_not_somebody_elses() -> None:
    service = others.inference_service()
    service["metadata"]["labels"] = {names.LABEL_CASCADE: "qwen"}
    found = _look(service)
    assert found.provider is None
    assert found.failure is not None
    assert found.failure[0] == "ServiceOfCascade"
    assert f"correct {FIELD}" in found.failure[1]
