"""The command that trains a whole pool, on two real tiny agents; and what a pool file may say."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from disrouter.artifacts import RunLayout, Stage
from disrouter.calibration import FirstTokenSignal
from disrouter.recipe import merge
from disrouter.scenario import Scenario
from disrouter_training.cli import main
from disrouter_training.data.sources import Question
from disrouter_training.data.split import Splits
from disrouter_training.data.split_files import write_splits
from disrouter_training.errors import DatasetError, TrainingError
from disrouter_training.evaluation.examination import Examination
from disrouter_training.generation.first_token import FirstTokens
from disrouter_training.pool.assemble import trainings
from disrouter_training.pool.base import Questions, verdict
from disrouter_training.pool.file import read_pool
from disrouter_training.pool.runs import PoolRun, runs, share
from disrouter_training.pool.train import EXAMINED, check_apart
from support.tiny_agent import question_rows, write_agent

pytestmark = pytest.mark.timeout(900)
"""A whole pool, and processes that import torch: more than the usual limit on a busy machine."""

POOL: dict[str, Any] = {
    "name": "things",
    "agents": [
        {"name": "small", "model": "models/small", "cost": 0.1},
        {"name": "large", "model": "pvc://models/large", "cost": 0.9},
    ],
    "volumes": {"models": "models", "data": "."},
    "datasets": {name: [{"file": f"pvc://data/{name}.jsonl"}] for name in ("train", "dev", "test", "heldout")},
    "recipe": {
        "collect": {"samples": 8, "maxNewTokens": 16, "batchSize": 256},
        "sft": {"samples": 240, "epochs": 2, "learningRate": 2e-3, "batchSize": 16},
        "rl": {"steps": 4, "learningRate": 1e-4, "promptsPerStep": 12, "generations": 4, "kl": 0.05},
    },
    "variants": [{"name": "bolder", "recipe": {"rl": {"gamma": 1.0}}}],
    "seeds": [1],
}


def write_pool(folder: Path, **changes: Any) -> Path:
    path = folder / "pool.yaml"
    path.write_text(yaml.safe_dump({**POOL, **changes}))
    return path


def pool_command(pool: Path, out: Path, *more: str) -> int:
    """In this process, and the signals as they were."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        return main(["pool", "--pool", str(pool), "--out", str(out), *more])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@pytest.fixture(scope="module")
def made(volumes: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A pool file and the folder of its report."""
    folder = tmp_path_factory.mktemp("pool")
    shutil.copytree(volumes / "models" / "tiny", folder / "models" / "small")
    write_agent(folder / "models" / "large", knows_rare=True)
    rows = question_rows()
    for name, part in (("train", rows[:32]), ("dev", rows[32:44]), ("test", rows[44:56]), ("heldout", rows[56:])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    pool = write_pool(folder)
    assert pool_command(pool, folder / "out") == 0
    return pool, folder / "out"


def report(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "report.json").read_text())
    return content


def utilities(out: Path) -> dict[tuple[str, str, str], float]:
    rows = report(out)["whole"]["rows"]
    return {(r["split"], r["scenario"], r["policy"]): r["utility"]["mean"] for r in rows if r["group"] == "all"}


def test_one_command_trains_the_pool_and_compares_it_with_learned_routers(made: tuple[Path, Path]) -> None:
    content = report(made[1])
    policies = {row["policy"] for row in content["whole"]["rows"]}
    ours = {f"cascade SFT + RL ({way})" for way in ("text", "probability", "probability, tuned")}
    routers = {"RouteLLM", "FORC", "FrugalGPT", "FrugalGPT (all asked)", "AutoMix", "GraphRouter"}
    assert ours | routers | {"oracle", "smallest", "largest", "random", "best single"} <= policies
    assert content["questions"] == {"dev": 12, "test": 12, "heldout": 4}
    assert {each["kind"] for each in content["predictors"]} == {"External", "Intrinsic"}


def test_a_cascade_that_knows_itself_comes_close_to_the_oracle(made: tuple[Path, Path]) -> None:
    found = utilities(made[1])
    tuned = found["test", "balance", "cascade SFT + RL (probability, tuned)"]
    assert tuned > max(found["test", "balance", single] for single in ("smallest", "largest", "random"))


def test_variants_share_what_they_have_in_common_and_are_reported(made: tuple[Path, Path]) -> None:
    policies = {row["policy"] for row in report(made[1])["whole"]["rows"]}
    assert "cascade bolder: SFT + RL (text)" in policies
    assert "cascade bolder: SFT (text)" not in policies
    text = (made[1] / "report.txt").read_text()
    ablations = text[text.index("Ablations") :].splitlines()[1:11]
    assert ablations[0].split()[:2] == ["training", "decision"]
    assert ablations[1].startswith("bolder: SFT + RL")
    main_run, variant = runs(read_pool(made[0]), [1])
    weights = [RunLayout.of(made[1] / "artifacts", r.config).weights(Stage.SFT) for r in (main_run, variant)]
    assert weights[0] != weights[1]
    assert (weights[0] / "model.safetensors").samefile(weights[1] / "model.safetensors")


def test_the_report_is_a_page_that_needs_nothing_else(made: tuple[Path, Path]) -> None:
    page = (made[1] / "report.html").read_text()
    assert page.count("data:image/png;base64,") == len(list((made[1] / "figures").glob("*.png"))) >= 12
    assert 'src="http' not in page
    assert "<td>cascade SFT + RL (text)</td>" in page


def test_a_second_start_does_nothing_again_and_says_the_same(
    made: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    before = (made[1] / "report.txt").read_text()
    weights = sorted((made[1] / "artifacts").rglob("model.safetensors"))
    times = [path.stat().st_mtime_ns for path in weights]
    assert pool_command(*made) == 0
    assert [path.stat().st_mtime_ns for path in weights] == times
    assert capsys.readouterr().out.strip() == before.strip()
    assert (made[1] / "report.txt").read_text() == before


def test_runs_can_be_done_several_at_once(made: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copytree(made[1], tmp_path / "out", symlinks=True)
    shutil.rmtree(tmp_path / "out" / "examined")
    assert pool_command(made[0], tmp_path / "out", "--parallel", "2", "--no-baselines") == 0
    ours = {key: value for key, value in utilities(made[1]).items() if key[2].startswith("cascade")}
    assert {key: value for key, value in utilities(tmp_path / "out").items() if key in ours} == ours


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"agents": POOL["agents"][:1]}, "agents: Tuple should have at least 2 items"),
        ({"agents": POOL["agents"][::-1]}, "agents must be ordered by cost"),
        ({"recipe": {"seed": 3}}, "a recipe cannot set seed: the pool file says that elsewhere"),
        ({"subpools": [["large", "small"]]}, "subpool ['large', 'small'] must name two or more of"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
    ],
)
def test_a_mistake_in_a_pool_file_is_named(changes: dict[str, Any], expected: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="is not a pool file") as error:
        read_pool(write_pool(tmp_path, **changes))
    assert expected in str(error.value)


def test_a_mistake_in_a_recipe_names_agent_and_field(tmp_path: Path) -> None:
    pool = read_pool(write_pool(tmp_path, recipe={"rl": {"stepz": 3}}))
    with pytest.raises(TrainingError, match=r"the recipe of agent small: rl\.stepz"):
        runs(pool, [1])


def test_agents_and_recipe_can_come_from_a_manifest(tmp_path: Path) -> None:
    manifest = {
        "apiVersion": "disrouter.io/v1alpha1",
        "kind": "SelfRoutingCascade",
        "metadata": {"name": "qwen"},
        "spec": {
            "agents": [
                {"name": "small", "model": {"uri": "pvc://models/a"}, "cost": 0.1},
                {"name": "large", "model": {"uri": "pvc://models/b"}, "cost": 0.9},
            ],
            "training": {
                "datasets": [{"file": "pvc://data/train.jsonl"}],
                "artifacts": {"persistentVolumeClaim": "weights"},
                "rl": {"gamma": 0.7},
                "evaluate": {"datasets": [{"file": "pvc://data/test.jsonl"}]},
            },
        },
    }
    (tmp_path / "cascade.yaml").write_text(yaml.safe_dump(manifest))
    (tmp_path / "pool.yaml").write_text(
        yaml.safe_dump({"cascade": "cascade.yaml", "datasets": {"dev": [{"file": "pvc://data/dev.jsonl"}]}})
    )
    pool = read_pool(tmp_path / "pool.yaml")
    assert (pool.name, [agent.name for agent in pool.agents]) == ("qwen", ["small", "large"])
    assert [source.file for source in pool.datasets.test] == ["pvc://data/test.jsonl"]
    assert runs(pool, [5])[0].config.rl.gamma == 0.7


def test_each_training_is_judged_by_the_gamma_of_its_own_recipe(tmp_path: Path) -> None:
    agents = [{"name": "tiny", "model": "models/tiny", "cost": 0.05, "recipe": {"rl": {"gamma": 2.0}}}]
    pool = read_pool(write_pool(tmp_path, agents=[*agents, *POOL["agents"]]))
    work = runs(pool, [1])
    question = Question(id="q", question="Why?", answer="so")
    examined = Examination(
        {"q": "so"},
        {"q": "so"},
        {scenario: {"q": "so"} for scenario in Scenario},
        {"q": FirstTokenSignal(0.5, 0.5)},
        FirstTokens("I", "Let"),
    )
    found = {(run.variant, run.agent, 1, stage): examined for run in work for stage in EXAMINED}
    splits = Questions({"test": [question]})
    gammas = {name: seeds[0]["test"].gamma.tolist() for name, seeds in trainings(pool, work, found, splits).items()}
    assert gammas == {"bolder: SFT + RL": [1.0, 1.0], "SFT": [2.0, 0.5], "SFT + RL": [2.0, 0.5]}


def test_recipes_are_merged_level_by_level() -> None:
    assert merge({"rl": {"steps": 1, "kl": 2}}, {"rl": {"kl": 3}}, {"sft": {}}) == {
        "rl": {"steps": 1, "kl": 3},
        "sft": {},
    }


def test_runs_of_other_inputs_share_nothing(tmp_path: Path) -> None:
    pool = read_pool(write_pool(tmp_path, seeds=[1, 2]))
    one, two = (run for run in runs(pool, [1, 2]) if run.variant == "main")
    assert all(one.key(stage) != two.key(stage) for stage in (Stage.COLLECT, Stage.SFT, Stage.RL))
    assert list(share(one, [two], tmp_path)) == []


def collected(run: PoolRun, artifacts: Path, train: list[str], test: list[str]) -> RunLayout:
    """As if the run had finished `collect` and `sft`, and read these questions."""
    layout = RunLayout.of(artifacts, run.config)
    named = {"train": train, "test": test}
    questions = {name: [Question(id=text, question=text, answer="so") for text in each] for name, each in named.items()}
    splits = Splits(tuple(questions["train"]), tuple(questions["test"]), (), (), (), 0)
    record = write_splits(layout.stage(Stage.COLLECT), splits)
    layout.finish(Stage.COLLECT, {"metrics": {"splits": record}})
    layout.finish(Stage.SFT, {})
    return layout


def test_runs_that_collected_other_questions_do_not_share_what_was_learned_from_them(tmp_path: Path) -> None:
    main_run, variant = runs(read_pool(write_pool(tmp_path)), [1])
    collected(main_run, tmp_path, ["a?", "b?"], ["c?"])
    layout = collected(variant, tmp_path, ["a?"], ["b?", "c?"])
    (layout.stage(Stage.SFT) / "done.json").unlink()
    assert list(share(variant, [main_run], tmp_path)) == []
    shutil.rmtree(layout.stage(Stage.COLLECT))
    assert list(share(variant, [main_run], tmp_path)) == [Stage.COLLECT, Stage.SFT]


def test_a_run_that_trained_on_what_judges_it_now_is_refused(tmp_path: Path) -> None:
    run, _ = runs(read_pool(write_pool(tmp_path)), [1])
    layout = collected(run, tmp_path, ["a?", "b?"], ["c?"])
    check_apart(layout, [Question(id="x", question="c?", answer="so")])
    with pytest.raises(DatasetError, match=r"of agent small was trained on 1 questions that judge it now, .*'b\?'"):
        check_apart(layout, [Question(id="x", question=text, answer="so") for text in ("b?", "c?")])


@pytest.mark.parametrize(
    ("text", "approves"),
    [("Correct.", True), ("The AI Generated Answer is correct", True), ("Incorrect", False), ("grey", False)],
)
def test_a_verification_approves_only_by_a_clear_yes(text: str, approves: bool) -> None:
    assert verdict(text) is approves
