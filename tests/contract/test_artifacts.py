"""A run is its inputs: any change is another run; a stage is done only when it says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from disrouter.artifacts import (
    TERMINATION_MESSAGE_LIMIT,
    DatasetSource,
    Evaluation,
    RlConfig,
    RunConfig,
    RunLayout,
    ScenarioResult,
    SftConfig,
    SftTarget,
    Stage,
    served_subpath,
)
from disrouter.errors import ArtifactError
from disrouter.recipe import RECIPES, Lora, Recipe
from disrouter.scenario import Scenario


def _config(**changes: Any) -> RunConfig:
    fields = {
        "cascade": "qwen",
        "agent": "small",
        "model": "pvc://models/small",
        "image": "trainer:1",
        "datasets": (DatasetSource(file="pvc://data/train.jsonl"),),
    }
    return RunConfig(**fields | changes)


def test_the_same_inputs_are_the_same_run_however_written(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(_config().model_dump_json(by_alias=True, indent=4))
    assert RunConfig.read(path).run == _config().run
    assert len(_config().run) == 10


@pytest.mark.parametrize(
    "change",
    [{"model": "hf://a/b"}, {"seed": 1}, {"image": "trainer:2"}, {"sft": SftConfig(epochs=2)}, {"agent": "medium"}],
    ids=lambda change: next(iter(change)),
)
def test_any_changed_input_is_another_run(change: dict[str, Any]) -> None:
    assert _config(**change).run != _config().run


def test_fields_that_came_later_leave_older_runs_and_their_run_files_as_they_were() -> None:
    config = RunConfig.model_validate({
        "cascade": "q", "agent": "a", "model": "hf://a/b", "datasets": [{"id": "a/b"}],
    })  # fmt: skip
    assert config.run == "460d518d38", "what the first release called it"
    assert "scenarios" not in config.dump()
    assert config.dump()["datasets"] == [{"id": "a/b"}]
    pinned = config.model_copy(update={"datasets": (DatasetSource(id="a/b", revision="v1"),)})
    assert pinned.run != config.run
    assert "target" not in config.dump()["sft"]
    soft = config.model_copy(update={"sft": SftConfig(target=SftTarget.SOFT)})
    assert soft.run != config.run
    assert soft.dump()["sft"]["target"] == "soft"


RESOURCES: dict[str, dict[str, Any]] = {
    "collect": {"batchSize": 4096, "engine": "vllm"},
    "sft": {"microBatchSize": 2},
    "rl": {"rollouts": "transformers", "microBatchSize": 4},
}


def test_what_a_run_takes_is_no_part_of_its_identity_and_can_be_changed() -> None:
    config = RunConfig.model_validate({
        "cascade": "q", "agent": "a", "model": "hf://a/b", "datasets": [{"id": "a/b"}], **RESOURCES,
    })  # fmt: skip
    assert config.run == "460d518d38", "that of the defaults"
    assert config.resources == RESOURCES
    assert config.inputs.resources == {}
    assert config.inputs.taking(RESOURCES) == config
    assert config.taking({"collect": {"batchSize": 8}}).resources == {
        **RESOURCES,
        "collect": {"batchSize": 8, "engine": "vllm"},
    }


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        ({"sft": {"epochs": 2}}, r"sft: epochs is no resource of a run; known: collect\.batchSize, "),
        ({"evaluate": {"holdout": 0.2}}, "evaluate: holdout is no resource"),
        ({"disk": {}}, "disk: "),
        ({"rl": {"microBatchSize": 0}}, r"the resources of the run are wrong: rl\.microBatchSize: "),
    ],
)
def test_what_is_no_resource_cannot_be_changed(resources: dict[str, dict[str, Any]], said: str) -> None:
    with pytest.raises(ArtifactError, match=said):
        _config().taking(resources)


def test_a_recipe_fills_in_what_nobody_gave_and_is_its_values() -> None:
    named = _by_recipe("cpu", sft={"samples": 60, "lora": {"rank": 4}})
    assert named.sft.samples == 60, "given"
    assert named.sft.lora == Lora(rank=4, alpha=RECIPES[Recipe.CPU]["sft"]["lora"]["alpha"]), "field by field"
    assert named.rl.steps == RECIPES[Recipe.CPU]["rl"]["steps"]
    assert named.rl.kl == RlConfig().kl, "of what the recipe says nothing"
    assert "recipe" not in named.dump()
    assert RunConfig.model_validate(named.dump()).run == named.run
    assert _by_recipe("cpu", sft={"lora": None}).sft.lora is None
    everything = _by_recipe("fast", **RECIPES[Recipe.CPU])
    assert everything.collect == _by_recipe("cpu").collect


@pytest.mark.parametrize("recipe", Recipe)
def test_every_recipe_is_one(recipe: Recipe) -> None:
    assert _by_recipe(recipe).run != _by_recipe(None).run


def test_an_unknown_recipe_is_named() -> None:
    with pytest.raises(ValidationError, match=r"recipe\n.*'paper', 'fast' or 'cpu'"):
        _by_recipe("cheap")


def _by_recipe(recipe: str | None, **given: Any) -> RunConfig:
    base = {"cascade": "q", "agent": "a", "model": "hf://a/b", "datasets": [{"id": "a/b"}]}
    return RunConfig.model_validate({**base, "recipe": recipe, **given})


def test_an_adapter_has_a_learning_rate_that_moves_it() -> None:
    lora = {"rank": 16}
    assert (SftConfig().learning_rate, RlConfig().learning_rate) == (1e-5, 1e-6)
    assert SftConfig.model_validate({"lora": lora}).learning_rate == 2e-4
    assert RlConfig.model_validate({"lora": lora}).learning_rate == 2e-5
    assert SftConfig.model_validate({"lora": lora, "learningRate": 1e-5}).learning_rate == 1e-5
    assert RlConfig.model_validate({"lora": None, "learningRate": None}).learning_rate == 1e-6


def test_a_bad_run_file_names_the_file_and_the_field(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with pytest.raises(ArtifactError, match=r"cannot read the run file .*run\.json"):
        RunConfig.read(path)
    path.write_text('{"cascade": "qwen", "rl": {"gamma": 5}}')
    with pytest.raises(ArtifactError, match=r"rl\.gamma"):
        RunConfig.read(path)


def test_stages_follow_each_other() -> None:
    assert [stage.previous for stage in Stage] == [None, Stage.COLLECT, Stage.SFT, Stage.RL]


def test_a_stage_is_done_only_after_its_last_write(tmp_path: Path) -> None:
    layout = RunLayout.of(tmp_path, _config())
    layout.weights(Stage.SFT).mkdir(parents=True)
    assert layout.done(Stage.SFT) is None
    with pytest.raises(ArtifactError, match=r"stage sft .* is not complete"):
        layout.require(Stage.SFT)
    layout.finish(Stage.SFT, {"loss": 0.5})
    assert layout.require(Stage.SFT) == {"loss": 0.5}


def test_a_damaged_marker_says_what_to_delete(tmp_path: Path) -> None:
    layout = RunLayout.of(tmp_path, _config())
    layout.finish(Stage.SFT, {})
    (layout.stage(Stage.SFT) / "done.json").write_text("{")
    with pytest.raises(ArtifactError, match="delete it to run the stage again"):
        layout.done(Stage.SFT)


def test_served_weights_are_those_that_rl_left(tmp_path: Path) -> None:
    layout = RunLayout.of(tmp_path, _config())
    assert tmp_path / served_subpath("qwen", "small", layout.run) == layout.weights(Stage.RL)


def test_an_evaluation_fits_a_termination_message_and_knows_its_gain() -> None:
    scenarios = tuple(
        ScenarioResult(
            scenario=scenario, coverage=1 / 3, selective_accuracy=2 / 3, utility=0.123456789 + k / 10,
            serving_utility=0.1, self_assessment_accuracy=1 / 3, self_assessment_f1=2 / 7,
        )
        for k, scenario in enumerate(Scenario)
    )  # fmt: skip
    evaluation = Evaluation(
        run="0123456789", questions=600, base_accuracy=1 / 3, must_answer_accuracy=1 / 3, scenarios=scenarios
    )
    assert evaluation.utility_gain == pytest.approx(0.123456789 + 0.1 - 0.1)
    assert len(evaluation.model_dump_json(by_alias=True).encode()) < TERMINATION_MESSAGE_LIMIT / 2


def test_a_dataset_has_exactly_one_source() -> None:
    with pytest.raises(ValueError, match="exactly one of id"):
        DatasetSource(id="a/b", file="pvc://data/x")


def test_the_name_of_a_run_is_computed_once_for_equal_inputs() -> None:
    first, second = (
        RunConfig(cascade="c", agent="a", model="hf://a/b", datasets=(DatasetSource(id="a/b"),)) for _ in "12"
    )
    assert first.run is second.run
