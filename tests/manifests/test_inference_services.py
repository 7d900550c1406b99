"""InferenceServices of agents, held by golden files and judged by KServe's own models and schema."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from disrouter import names
from disrouter_operator.kube.resources import Object
from disrouter_operator.manifests import containers
from disrouter_operator.manifests.serving import inference_service, service
from disrouter_operator.manifests.serving.engine_container import hold
from support import admission, kserve_judge
from support.clusters import cascade, example

SIDECAR = "sidecar:test"
RUN = "0123456789"


def _service(manifest: Object, agent: int, run: str | None = None) -> Object:
    owner = cascade(manifest)
    return inference_service.inference_service(owner, owner.spec.agents[agent], run, SIDECAR)


VARIANTS: dict[str, Callable[[], Object]] = {
    "isvc_hub_model": lambda: _service(example(), 0),
    "isvc_claim_autoscaled": lambda: _service(example(), 1),
    "isvc_trained_weights": lambda: _service(example(), 0, RUN),
    "isvc_surge": lambda: _service(example(rollout="surge"), 0),
    "isvc_knative": lambda: _service(example(deploymentMode="Knative"), 0),
    "isvc_knative_hpa": lambda: _service(_scaled("Knative", metric="memory", target=70), 1),
    "isvc_knative_unsaid": lambda: _service(_scaled("Knative", target=8), 1),
    "isvc_bucket": lambda: _service(_with_model("s3://bucket/qwen"), 0),
}


def _scaled(mode: str, **autoscaling: Any) -> Object:
    manifest = example(deploymentMode=mode)
    manifest["spec"]["agents"][1] |= {"replicas": {"min": 1, "max": 4}, "autoscaling": autoscaling}
    return manifest


def _with_model(uri: str) -> Object:
    manifest = example()
    agent = manifest["spec"]["agents"][0]
    agent["model"], agent["selfAwareness"] = {"uri": uri}, {"mode": "prompted"}
    return manifest


@pytest.mark.parametrize("name", VARIANTS)
def test_an_inference_service_is_as_its_golden_file(name: str, golden: Any) -> None:
    golden(name, [VARIANTS[name]()])


@pytest.mark.parametrize("name", VARIANTS)
def test_kserve_knows_every_field_of_an_inference_service(name: str) -> None:
    assert kserve_judge.faults(VARIANTS[name]()) == []


@pytest.mark.parametrize("name", VARIANTS)
def test_every_container_states_requests_and_limits(name: str) -> None:
    for container in VARIANTS[name]()["spec"]["predictor"]["containers"]:
        resources = container["resources"]
        assert {"cpu", "memory"} <= resources["requests"].keys()
        assert resources["requests"].keys() == resources["limits"].keys()


def test_a_knative_pod_has_one_port_and_probes_only_where_it_is() -> None:
    engine, sidecar = VARIANTS["isvc_knative"]()["spec"]["predictor"]["containers"]
    assert "ports" not in engine
    assert not [key for key in engine if key.endswith("Probe")]
    assert [port["name"] for port in sidecar["ports"]] == ["http1"]


def test_the_restated_webhooks_refuse_what_was_wrong_once() -> None:
    """Each of these was rendered for Knative: the judge judges."""
    service = VARIANTS["isvc_knative_hpa"]()
    predictor = service["spec"]["predictor"]
    wrong = copy.deepcopy(service)
    wrong["metadata"]["annotations"].pop("autoscaling.knative.dev/class")
    assert admission.refusals(wrong) == ["[memory] is not a supported metric"]
    for change, said in (
        ({"scaleTarget": 200}, "[1-100]"),
        ({"deploymentStrategy": {"type": "Recreate"}}, "raw deployment mode"),
        ({"terminationGracePeriodSeconds": 82}, "terminationGracePeriodSeconds"),
        ({"securityContext": {}}, "securityContext"),
        ({"timeout": 3600}, "timeoutSeconds"),
        ({"volumes": [*predictor["volumes"], {"name": "spare", "emptyDir": {}}]}, "not mounted"),
    ):
        wrong = {**service, "spec": {"predictor": {**predictor, **change}}}
        assert [each for each in admission.refusals(wrong) if said in each], change
    assert admission.refusals(service) == []


def test_requests_enter_through_knatives_queue_which_counts_them() -> None:
    manifest = example(deploymentMode="Knative")
    manifest["spec"]["agents"][0]["selfAwareness"] = {"mode": "prompted"}
    owner = cascade(manifest)
    ports = [service.service(owner, agent, {})["spec"]["ports"][0]["targetPort"] for agent in owner.spec.agents]
    assert ports == [8012, 8012, names.SIDECAR_PORT], "an external agent is a Deployment of ours"
    plain = cascade(example())
    assert service.service(plain, plain.spec.agents[0], {})["spec"]["ports"][0]["targetPort"] == names.SIDECAR_PORT


def test_knative_gets_no_hook_and_no_grace_period_which_its_webhook_refuses() -> None:
    predictor = VARIANTS["isvc_knative"]()["spec"]["predictor"]
    assert "terminationGracePeriodSeconds" not in predictor
    assert not [container for container in predictor["containers"] if "lifecycle" in container]


def test_an_engine_outlives_its_sidecars_drain_and_the_pod_outlives_both() -> None:
    predictor = _service(example(), 0)["spec"]["predictor"]
    engine, sidecar = predictor["containers"]
    env = {item["name"]: item["value"] for item in sidecar["env"]}
    drained = float(env["DISROUTER_LINGER_SECONDS"]) + float(env["DISROUTER_DRAIN_SECONDS"])
    command = engine["lifecycle"]["preStop"]["exec"]["command"]
    assert command == hold(names.SIDECAR_PORT, containers.ENGINE_HOLD_SECONDS)
    assert float(env["DISROUTER_LINGER_SECONDS"]) >= 5
    assert drained < containers.ENGINE_HOLD_SECONDS < predictor["terminationGracePeriodSeconds"]
    assert "lifecycle" not in sidecar


def test_a_scenario_a_cost_and_a_successor_are_no_part_of_a_pod() -> None:
    before = _service(example(), 1)
    manifest = example(scenario="cost-first", timeouts={"connect": 9})
    manifest["spec"]["agents"][1]["cost"] = 0.5
    manifest["spec"]["agents"].insert(0, {"name": "tiny", "model": {"uri": "hf://a/b"}, "cost": 0.0})
    assert _service(manifest, 2) == before


def test_the_revision_moves_with_the_pod_and_only_with_it() -> None:
    base = inference_service.revision(_service(example(), 0))
    assert inference_service.revision(_service(example(rollout="surge"), 0)) == base
    assert inference_service.revision(_service(example(), 0, RUN)) != base


def test_a_long_name_still_fits_kserve() -> None:
    manifest = example()
    manifest["metadata"] |= {"name": "q" * 40, "namespace": "n" * 36}
    owner = cascade(manifest)
    name = inference_service.inference_service(owner, owner.spec.agents[0], None, SIDECAR)["metadata"]["name"]
    assert len(name) + 36 <= names.MAX_CHILD_WITH_NAMESPACE
