"""Routes as data: who gets a query, who is next, how it is decided; and which edits are no more than that."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from disrouter import names
from disrouter.artifacts import Evaluation, Stage
from disrouter.calibration import Calibration, CalibrationPoint
from disrouter.routes import JumpRoute
from disrouter.terms import PreferenceEncoding
from disrouter_operator.kube.resources import INFERENCE_SERVICES, SERVICES, Object
from support import clusters
from support.scenes import Scene, serving

CALIBRATION = Calibration(
    token="I",
    points=(CalibrationPoint(refusal=0.1, competence=0.9), CalibrationPoint(refusal=0.8, competence=0.2)),
)


def _tree() -> Object:
    """tiny -> large, small -> coder -> medium -> large, entered at small."""
    manifest = clusters.example(entrypoint="small")
    manifest["spec"].pop("training")
    small, medium, large = manifest["spec"]["agents"]
    for agent in (small, medium):
        agent["selfAwareness"] = {"mode": "prompted"}
    small["next"] = "coder"
    tiny = {"name": "tiny", "model": {"uri": "hf://a/tiny"}, "cost": 0.05, "next": "large"}
    coder = {"name": "coder", "model": {"uri": "hf://a/coder"}, "cost": 0.2, "next": "medium"}
    manifest["spec"]["agents"] = [tiny, small, coder, medium, large]
    return manifest


async def test_a_tree_is_entered_where_the_manifest_says() -> None:
    scene = await serving(_tree(), "tiny", "small", "coder", "medium", "large")
    table = scene.table()
    assert table.path() == ["small", "coder", "medium", "large"]
    assert table.path_from("tiny") == ["tiny", "large"]
    assert scene.kube.one(SERVICES, "qwen")["spec"]["selector"][names.LABEL_AGENT] == "small"


async def test_an_entry_that_does_not_serve_hands_over_to_the_next_of_its_route() -> None:
    scene = await serving(_tree(), "tiny", "medium", "large")
    assert scene.table().entrypoint == "medium"
    assert scene.condition("EndpointReady")["status"] == "True"
    scene.serve("small")
    await scene.settle()
    assert scene.table().entrypoint == "small"


async def test_another_entry_moves_the_endpoint_and_no_pod() -> None:
    scene = await serving(_tree(), "tiny", "small", "coder", "medium", "large")
    manifest = _tree()
    manifest["spec"]["entrypoint"] = "tiny"
    manifest["spec"]["agents"][0]["next"] = "small"
    scene.kube.put(manifest)
    scene.kube.writes.clear()
    await scene.run()
    applied = [(kind, name) for verb, kind, name in scene.kube.writes if verb == "apply"]
    assert applied == [("ConfigMap", "qwen-routes"), ("Service", "qwen")]
    assert scene.table().path() == ["tiny", "small", "coder", "medium", "large"]


def _cheaper(spec: Any) -> None:
    spec["agents"][1]["cost"] = 0.3


def _inserted_route(spec: Any) -> None:
    spec["agents"][0]["next"] = "large"
    spec["entrypoint"] = "medium"


def _swapped(spec: Any) -> None:
    first, second = spec["agents"][0], spec["agents"][1]
    first["cost"], second["cost"] = second["cost"], first["cost"]
    spec["agents"][:2] = [second, first]


EDITS: dict[str, Callable[[Any], object]] = {
    "cost": _cheaper,
    "successor and entry": _inserted_route,
    "order": _swapped,
    "scenario": lambda spec: spec.update(scenario="cost-first"),
    "preference": lambda spec: (spec.pop("scenario"), spec.update(preference=0.3)),
    "timeouts": lambda spec: spec.update(timeouts={"connect": 1, "firstByte": 5}),
    "retries": lambda spec: spec.update(retries={"ratio": 0.5, "burst": 1}),
    "breaker": lambda spec: spec.update(breaker={"failures": 2, "openSeconds": 1}),
    "fallback": lambda spec: spec.update(fallback={"policy": "fail", "retryAfter": 1}),
    "waiting": lambda spec: spec.update(timeouts={"whole": 60, "keepAlive": 0}),
    "undecidable": lambda spec: spec.update(undecidable="answer"),
    "aliases": lambda spec: spec.update(aliases=[{"name": "gpt-4o"}, {"name": "gpt-4o-mini", "agent": "small"}]),
    "cors": lambda spec: spec.update(cors={"origins": ["*"]}),
    "kept decisions": lambda spec: spec.update(keptDecisions=0),
    "capabilities": lambda spec: spec["agents"][0].update(capabilities={"images": False, "contextLength": 4096}),
    "cap": lambda spec: spec["agents"][0].update(maxInflight=8),
    "deferral tool": lambda spec: spec["agents"][0].update(selfAwareness={"mode": "trained", "deferralTool": True}),
    "opened reasoning": lambda spec: spec["agents"][2].update(
        selfAwareness={"mode": "none", "promptOpensReasoning": True}
    ),
    "decision": lambda spec: spec["agents"][0].update(decision={"mode": "probability"}),
    "drain": lambda spec: spec.update(drainSeconds=1),
}


@pytest.mark.parametrize("edit", EDITS)
async def test_an_edit_of_the_routes_touches_no_pod(edit: str) -> None:
    scene = await serving(clusters.example(), "small", "medium", "large")
    manifest = clusters.example()
    EDITS[edit](manifest["spec"])
    scene.kube.put(manifest)
    scene.kube.writes.clear()
    await scene.run()
    applied = {kind for verb, kind, _ in scene.kube.writes if verb in ("apply", "delete")}
    assert applied <= {"ConfigMap", "Service"}
    if edit not in ("decision", "drain"):
        assert "ConfigMap" in applied


async def test_another_adapter_of_the_same_claim_is_a_route_and_another_claim_is_a_pod() -> None:
    def with_adapter(uri: str) -> Object:
        manifest = clusters.example()
        medium = manifest["spec"]["agents"][1]
        medium["model"]["adapter"], medium["selfAwareness"] = uri, {"mode": "prompted"}
        return manifest

    scene = Scene(with_adapter("pvc://adapters/legal/v1"))
    await scene.run()
    first = scene.table().agents["medium"].adapter
    assert first is not None
    assert first.path == "/mnt/adapters/legal/v1"
    for uri, written in (("pvc://adapters/legal/v2/", []), ("pvc://others/legal/v2", ["qwen-medium"])):
        scene.kube.put(with_adapter(uri))
        scene.kube.writes.clear()
        await scene.run()
        assert [name for _, kind, name in scene.kube.writes if kind == "InferenceService"] == written
        adapter = scene.table().agents["medium"].adapter
        assert adapter is not None
        assert adapter.path == "/mnt/adapters/legal/v2"
        assert adapter.name != first.name


async def test_the_probability_mode_begins_with_the_run_that_was_calibrated() -> None:
    manifest = clusters.example()
    jump = {"to": "large", "below": 0.1}
    manifest["spec"]["agents"][0]["decision"] = {"mode": "probability", "jump": jump}
    manifest["spec"]["training"]["rl"] = {"gamma": 0.7}
    scene = await serving(manifest, "small", "medium", "large")
    assert scene.table().agents["small"].probability is None
    await _train(scene, CALIBRATION)
    assert scene.table().agents["small"].probability is None, "its pods still serve the base model"
    scene.serve("small")
    await scene.run()
    route = scene.table().agents["small"].probability
    assert route is not None
    assert (route.calibration, route.gamma) == (CALIBRATION, 0.7)
    assert route.jump is not None
    assert route.jump == JumpRoute(to="large", below=0.1)
    assert scene.kube.one(INFERENCE_SERVICES, "qwen-small")


async def test_without_a_calibration_the_text_is_read() -> None:
    manifest = clusters.example()
    manifest["spec"]["agents"][0]["decision"] = {"mode": "probability"}
    scene = await serving(manifest, "small", "medium", "large")
    await _train(scene, None)
    scene.serve("small")
    await scene.run()
    assert scene.table().agents["small"].awareness == "trained"
    assert scene.table().agents["small"].probability is None


async def test_only_weights_that_were_taught_numbers_are_told_numbers() -> None:
    scene = await serving(clusters.example(), "small", "medium", "large")
    await _train(scene, None, PreferenceEncoding.CONTINUOUS)
    assert scene.table().agents["small"].preference_encoding is None, "its pods still serve the base model"
    scene.serve("small")
    await scene.run()
    told = {name: route.preference_encoding for name, route in scene.table().agents.items()}
    assert told == {"small": PreferenceEncoding.CONTINUOUS, "medium": None, "large": None}


@pytest.mark.parametrize(
    ("says", "args", "opens"),
    [
        (None, [], True),
        (False, [], False),
        (None, ["--reasoning-parser=deepseek_r1"], False),
        (None, ["--reasoning_parser", "qwen3"], False),
        (True, ["--reasoning-parser=qwen3"], True),
    ],
)
async def test_what_a_run_has_found_of_its_template_is_told_with_its_weights(
    says: bool | None, args: list[str], opens: bool
) -> None:
    manifest = clusters.example()
    small = manifest["spec"]["agents"][0]
    small["engine"] = {"args": args}
    small["selfAwareness"] = {"mode": "trained"} | ({} if says is None else {"promptOpensReasoning": says})
    scene = await serving(manifest, "small", "medium", "large")
    await _train(scene, None, opens_reasoning=True)
    assert scene.table().agents["small"].prompt_opens_reasoning is (says is True), "they still serve the base model"
    scene.serve("small")
    await scene.run()
    assert scene.table().agents["small"].prompt_opens_reasoning is opens


async def _train(
    scene: Scene,
    calibration: Calibration | None,
    preference_encoding: PreferenceEncoding | None = None,
    *,
    opens_reasoning: bool = False,
) -> None:
    learned = {
        "calibration": calibration,
        "preference_encoding": preference_encoding,
        "prompt_opens_reasoning": opens_reasoning,
    }
    for stage in Stage:
        await scene.run()
        message = ""
        if stage is Stage.EVALUATE:
            found = Evaluation.model_validate_json(clusters.evaluation(scene.agent("small")["run"], 0.1))
            message = json.dumps(found.model_copy(update=learned).dump())
        scene.end_job("small", stage, clusters.complete(), message)
    await scene.run()
