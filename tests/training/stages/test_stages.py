"""The four stages on a real tiny agent: what they leave and what the agent has learned."""

import json
from pathlib import Path
from typing import Any

import pytest

from disrouter.artifacts import TERMINATION_MESSAGE_LIMIT, Evaluation, Stage
from disrouter.calibration import FirstTokenSignal
from disrouter.refusal import REFUSAL, is_refusal
from disrouter.scenario import Scenario
from disrouter.terms import PreferenceEncoding
from disrouter_training.data.shards import read_rows
from disrouter_training.data.template import THINK
from support.trainer import Trainer


def metrics(trainer: Trainer, stage: Stage) -> dict[str, Any]:
    metrics: dict[str, Any] = trainer.layout.require(stage)["metrics"]
    return metrics


def test_collect_finds_out_what_the_agent_knows(finished: Trainer) -> None:
    shards = sorted((finished.layout.stage(Stage.COLLECT) / "shards").iterdir())
    rows = [row for path in shards for row in read_rows(path)]
    assert len(rows) == metrics(finished, Stage.COLLECT)["splits"]["train"]["questions"]
    frequency = {
        family: [r["frequency"] for r in rows if r["question"]["family"] == family] for family in ("plain", "rare")
    }
    assert min(frequency["plain"]) > 0.7
    assert max(frequency["rare"]) < 0.7
    assert all(len(row["samples"]) == 64 for row in rows)


def test_sft_balances_scenarios_and_actions(finished: Trainer) -> None:
    shares = metrics(finished, Stage.SFT)["scenarios"]
    assert shares.keys() == set(Scenario)
    assert {(share["answers"], share["refusals"]) for share in shares.values()} == {(80, 80)}


def test_rl_logs_reward_coverage_and_precision_at_each_step(finished: Trainer) -> None:
    rows = read_rows(finished.layout.stage(Stage.RL) / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, 31))
    assert all(row["scenarios"].keys() == set(Scenario) for row in rows)
    assert {"kl", "loss", "entropy"} <= rows[0].keys()


@pytest.mark.parametrize("stage", [Stage.SFT, Stage.RL])
def test_a_training_stage_leaves_weights_and_no_checkpoints(finished: Trainer, stage: Stage) -> None:
    names = {path.name for path in finished.layout.weights(stage).iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= names
    assert not (finished.layout.stage(stage) / "checkpoints").exists()


def test_the_agent_learned_to_answer_what_it_knows_and_to_refuse_the_rest(finished: Trainer) -> None:
    path = finished.layout.stage(Stage.EVALUATE) / "evaluation.json"
    result = Evaluation.model_validate_json(path.read_bytes())
    assert result.preference_encoding is PreferenceEncoding.DISCRETE
    assert not result.prompt_opens_reasoning
    assert result.utility_gain > 0.2
    for scenario in result.scenarios:
        assert scenario.self_assessment_accuracy > 0.8
        assert scenario.utility > scenario.serving_utility


def test_the_odds_of_a_refusal_are_calibrated(finished: Trainer) -> None:
    path = finished.layout.stage(Stage.EVALUATE) / "evaluation.json"
    found = Evaluation.model_validate_json(path.read_bytes()).calibration
    assert found is not None
    assert (found.token, found.answer) == (REFUSAL, THINK), "the tiny vocabulary has a token for each"
    assert found.residual < 0.5
    assert found.competence(FirstTokenSignal(0.0, 1.0)) > 0.7
    assert found.competence(FirstTokenSignal(1.0, 0.0)) < 0.3


def test_the_agent_did_not_forget_what_it_knew(finished: Trainer) -> None:
    rows = read_rows(finished.layout.stage(Stage.EVALUATE) / "predictions.jsonl")
    plain = [row for row in rows if row["family"] == "plain"]
    assert sum(row["must_answer_correct"] for row in plain) >= 0.9 * sum(row["base_correct"] for row in plain)


def test_predictions_hold_every_question_in_every_scenario(finished: Trainer) -> None:
    rows = read_rows(finished.layout.stage(Stage.EVALUATE) / "predictions.jsonl")
    questions = metrics(finished, Stage.COLLECT)["splits"]["test"]["questions"]
    assert len(rows) == questions * len(Scenario)
    assert len({(row["id"], row["scenario"]) for row in rows}) == len(rows)
    assert not any(row["refused"] and row["correct"] for row in rows)


def test_a_must_answer_reply_never_refuses(finished: Trainer) -> None:
    folder = finished.layout.stage(Stage.EVALUATE) / "replies" / "must-answer"
    rows = [row for path in folder.iterdir() for row in read_rows(path)]
    assert rows
    assert not any(is_refusal(row["reply"]) for row in rows)


def test_a_finished_run_does_nothing_again_but_reports_its_evaluation(
    finished: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DISROUTER_TERMINATION_LOG", str(tmp_path / "log"))
    before = (finished.layout.stage(Stage.EVALUATE) / "done.json").stat().st_mtime_ns
    assert finished("run") == 0
    assert capsys.readouterr().err.count("is complete already; nothing to do") == 4
    assert (finished.layout.stage(Stage.EVALUATE) / "done.json").stat().st_mtime_ns == before
    message = (tmp_path / "log").read_bytes()
    assert len(message) <= TERMINATION_MESSAGE_LIMIT
    assert Evaluation.model_validate_json(message).run == finished.layout.run


def test_progress_ends_at_the_last_step(finished: Trainer) -> None:
    for stage in Stage:
        progress = json.loads((finished.layout.stage(stage) / "progress.json").read_text())
        assert progress["step"] == progress["of"]
        assert progress["seconds_left"] == 0


def test_serving_weights_are_what_the_candidate_is_compared_with(trained: Trainer) -> None:
    weights = trained.layout.weights(Stage.RL)
    assert trained("evaluate", "--serving", str(weights)) == 0
    path = trained.layout.stage(Stage.EVALUATE) / "evaluation.json"
    assert Evaluation.model_validate_json(path.read_bytes()).utility_gain == 0


def test_a_report_judges_the_agents_as_a_cascade(
    finished: Trainer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = finished.volumes / "models" / "tiny"
    more = ["--cost", "tiny=0.1", "--cost", "big=0.9", "--terminal", f"big={base}", "--json", str(tmp_path / "r.json")]
    assert finished("report", *more) == 0
    out = capsys.readouterr().out
    assert [word for word in ("cascade", "smallest", "largest", "random", "oracle") if f"\n{word} " not in out] == []
    rows = json.loads((tmp_path / "r.json").read_text())["whole"]["rows"]
    best = {(r["split"], r["scenario"], r["group"]): r["utility"]["mean"] for r in rows if r["policy"] == "oracle"}
    assert all(r["utility"]["mean"] <= best[r["split"], r["scenario"], r["group"]] + 1e-9 for r in rows)


def test_a_report_without_a_cost_says_which(finished: Trainer, capsys: pytest.CaptureFixture[str]) -> None:
    assert finished("report", "--cost", "tiny=0.1", "--terminal", "big=/x") == 1
    assert "no cost for agent big; add --cost big=VALUE" in capsys.readouterr().err
