"""What a cascade becomes besides InferenceServices (tests/manifests has those), held by golden files."""

from __future__ import annotations

from typing import Any

from disrouter.artifacts import Stage
from disrouter.routes import Awareness
from disrouter_operator import endpoint, inference, routing, training
from disrouter_operator.routing import Stop
from support.clusters import cascade, example

SIDECAR = "sidecar:test"


def test_an_external_agent_is_a_sidecar_with_its_key_from_a_secret(golden: Any) -> None:
    owner = cascade(example())
    agent = owner.spec.agents[2]
    golden("external", [inference.external(owner, agent, SIDECAR), inference.external_service(owner, agent)])


def test_an_external_agents_pod_outlives_its_drain() -> None:
    owner = cascade(example())
    pod = inference.external(owner, owner.spec.agents[2], SIDECAR)["spec"]["template"]["spec"]
    env = {item["name"]: item.get("value") for item in pod["containers"][0]["env"]}
    drained = float(env["DISROUTER_LINGER_SECONDS"]) + float(env["DISROUTER_DRAIN_SECONDS"])
    assert drained < pod["terminationGracePeriodSeconds"]
    assert "lifecycle" not in pod["containers"][0]


def test_training_is_an_immutable_run_file_and_a_job_a_stage(golden: Any) -> None:
    owner = cascade(example())
    config = training.run_config(owner, owner.spec.agents[1], "trainer:test")
    jobs = [training.job(owner, config, stage) for stage in (Stage.COLLECT, Stage.EVALUATE)]
    golden("training", [training.run_config_map(owner, config), *jobs])


def test_a_run_depends_on_its_own_agent_alone() -> None:
    before = cascade(example())
    manifest = example(scenario="cost-first")
    manifest["spec"]["agents"].insert(0, {"name": "tiny", "model": {"uri": "hf://a/b"}, "cost": 0.0})
    after = cascade(manifest)
    run = training.run_config(before, before.spec.agents[0], "trainer:test").run
    assert training.run_config(after, after.spec.agents[1], "trainer:test").run == run
    assert training.run_config(after, after.spec.agents[1], "trainer:other").run != run


def test_routes_and_endpoint_are_as_their_golden_file(golden: Any) -> None:
    owner = cascade(example())
    stops = {
        "small": Stop("http://qwen-small-predictor.default.svc.cluster.local", Awareness.PROMPTED),
        "medium": Stop("http://qwen-medium-predictor.default.svc.cluster.local", Awareness.TRAINED),
        "large": Stop("http://qwen-large.default.svc.cluster.local", Awareness.NONE),
    }
    table = routing.table(owner, stops, "small")
    golden("routes_and_endpoint", [routing.config_map(owner, table), endpoint.service(owner, "small")])


def test_a_held_agent_is_skipped_by_those_that_point_at_it() -> None:
    owner = cascade(example())
    stops = {"small": Stop("http://s", Awareness.PROMPTED), "large": Stop("http://l", Awareness.NONE)}
    assert routing.table(owner, stops, "small").path() == ["small", "large"]


def test_the_entry_selector_does_not_match_training_pods() -> None:
    owner = cascade(example())
    config = training.run_config(owner, owner.spec.agents[0], "trainer:test")
    pod = training.job(owner, config, Stage.RL)["spec"]["template"]["metadata"]["labels"]
    selector = endpoint.service(owner, "small")["spec"]["selector"]
    assert not selector.items() <= pod.items()
    assert (
        selector.items()
        <= inference.inference_service(owner, owner.spec.agents[0], None, SIDECAR)["metadata"]["labels"].items()
    )


def test_a_job_carries_no_label_of_kserve() -> None:
    owner = cascade(example())
    config = training.run_config(owner, owner.spec.agents[0], "trainer:test")
    assert "serving.kserve.io" not in str(training.job(owner, config, Stage.RL))
