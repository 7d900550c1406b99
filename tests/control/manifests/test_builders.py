"""What a cascade becomes besides InferenceServices (tests/manifests has those), held by golden files."""

from __future__ import annotations

from typing import Any

import pytest

from disrouter.api import Agent
from disrouter.artifacts import Stage
from disrouter.routes import Awareness
from disrouter_operator.kube.resources import Object
from disrouter_operator.manifests.cascade import COMPONENT_AGENT, Cascade
from disrouter_operator.manifests.serving import inference_service, service
from disrouter_operator.manifests.serving.sidecar_container import Provider
from disrouter_operator.manifests.training import runs
from disrouter_operator.plan import route_table
from disrouter_operator.plan.route_table import RouteEntry
from support.clusters import cascade, example

SIDECAR = "sidecar:test"


def _deployment(owner: Cascade, agent: Agent) -> Object:
    assert agent.external is not None
    return inference_service.deployment(owner, agent, Provider.of(agent.external), SIDECAR)


def test_an_external_agent_is_a_sidecar_with_its_key_from_a_secret(golden: Any) -> None:
    owner = cascade(example())
    agent = owner.spec.agents[2]
    golden("external", [_deployment(owner, agent), inference_service.deployment_service(owner, agent)])


def test_an_external_agents_pod_outlives_its_drain() -> None:
    owner = cascade(example())
    pod = _deployment(owner, owner.spec.agents[2])["spec"]["template"]["spec"]
    env = {item["name"]: item.get("value") for item in pod["containers"][0]["env"]}
    drained = float(env["DISROUTER_LINGER_SECONDS"]) + float(env["DISROUTER_DRAIN_SECONDS"])
    assert drained < pod["terminationGracePeriodSeconds"]
    assert "lifecycle" not in pod["containers"][0]


def test_training_is_an_immutable_run_file_and_a_job_a_stage(golden: Any) -> None:
    owner = cascade(example())
    config = runs.run_config(owner, owner.spec.agents[1])
    collect = runs.stage_objects(owner, config, Stage.COLLECT, None, "trainer:test")
    evaluate = runs.stage_objects(owner, config, Stage.EVALUATE, "0123456789", "trainer:test")
    golden("training", [*collect, evaluate[-1]])


def test_a_run_depends_on_its_own_agent_alone() -> None:
    before = cascade(example())
    manifest = example(scenario="cost-first")
    manifest["spec"]["agents"].insert(0, {"name": "tiny", "model": {"uri": "hf://a/b"}, "cost": 0.0})
    after = cascade(manifest)
    run = runs.run_config(before, before.spec.agents[0]).run
    assert runs.run_config(after, after.spec.agents[1]).run == run


def test_the_default_trainer_is_no_part_of_a_run_and_a_named_one_is() -> None:
    owner, other = cascade(example()), example()
    other["spec"]["training"]["image"] = "trainer:named"
    default = runs.run_config(owner, owner.spec.agents[0])
    named = cascade(other)
    chosen = runs.run_config(named, named.spec.agents[0])
    assert default.run != chosen.run
    images = [
        runs.stage_objects(where, config, Stage.RL, None, "trainer:default")[-1]["spec"]["template"]["spec"][
            "containers"
        ][0]["image"]
        for where, config in ((owner, default), (named, chosen))
    ]
    assert images == ["trainer:default", "trainer:named"]


@pytest.mark.parametrize(("annotation", "touched"), [("retrain", [0, 1]), ("retrain.small", [0])])
def test_the_retrain_annotation_asks_for_another_run(annotation: str, touched: list[int]) -> None:
    manifest = example()
    before = cascade(manifest)
    manifest["metadata"]["annotations"] = {f"disrouter.io/{annotation}": "again " * 100}
    after = cascade(manifest)
    changed = [
        index
        for index in (0, 1)
        if runs.run_config(before, before.spec.agents[index]).run
        != runs.run_config(after, after.spec.agents[index]).run
    ]
    assert changed == touched


def test_routes_and_endpoint_are_as_their_golden_file(golden: Any) -> None:
    owner = cascade(example())
    entries = {
        "small": RouteEntry("http://qwen-small-predictor.default.svc.cluster.local", Awareness.PROMPTED),
        "medium": RouteEntry("http://qwen-medium-predictor.default.svc.cluster.local", Awareness.TRAINED),
        "large": RouteEntry("http://qwen-large.default.svc.cluster.local", Awareness.NONE),
    }
    table = route_table.table(owner, entries, "small")
    golden(
        "routes_and_endpoint",
        [
            route_table.config_map(owner, table),
            service.service(owner, owner.spec.agents[0], owner.labels(COMPONENT_AGENT, "small")),
        ],
    )


def test_a_held_agent_is_skipped_by_those_that_point_at_it() -> None:
    owner = cascade(example())
    entries = {"small": RouteEntry("http://s", Awareness.PROMPTED), "large": RouteEntry("http://l", Awareness.NONE)}
    assert route_table.table(owner, entries, "small").path() == ["small", "large"]


def test_the_entry_selector_does_not_match_training_pods() -> None:
    owner = cascade(example())
    config = runs.run_config(owner, owner.spec.agents[0])
    pod = runs.stage_objects(owner, config, Stage.RL, None, "trainer:test")[-1]["spec"]["template"]["metadata"][
        "labels"
    ]
    selector = service.service(owner, owner.spec.agents[0], owner.labels(COMPONENT_AGENT, "small"))["spec"]["selector"]
    assert not selector.items() <= pod.items()
    assert (
        selector.items()
        <= inference_service.inference_service(owner, owner.spec.agents[0], None, SIDECAR)["metadata"]["labels"].items()
    )


def test_a_job_carries_no_label_of_kserve() -> None:
    owner = cascade(example())
    config = runs.run_config(owner, owner.spec.agents[0])
    assert "serving.kserve.io" not in str(runs.stage_objects(owner, config, Stage.RL, None, "trainer:test")[-1])
