"""Predictions as a file: what is written is read, and what is damaged is named."""

import math
from pathlib import Path

import pytest

from disrouter.artifacts import RunLayout, Stage
from disrouter.errors import ArtifactError
from disrouter.scenario import Scenario
from disrouter_training.errors import DatasetError
from disrouter_training.evaluation.results import Prediction, read_predictions, write_predictions


def prediction(name: str, chance: float) -> Prediction:
    return Prediction(
        split="test",
        id=name,
        kind="knowledge",
        scenario=Scenario.COST_FIRST,
        refused=False,
        correct=True,
        must_answer_correct=True,
        base_correct=False,
        refusal_chance=chance,
    )


def test_predictions_survive_the_file(tmp_path: Path) -> None:
    layout = RunLayout(tmp_path, "c", "a", "run")
    rows = [prediction("a", 0.25), prediction("b\u2028", 0.5)]
    write_predictions(layout, rows)
    with pytest.raises(ArtifactError, match="stage evaluate of run run is not complete"):
        read_predictions(layout)
    layout.finish(Stage.EVALUATE, {})
    assert read_predictions(layout) == rows


def test_rows_of_earlier_releases_have_the_odds_of_a_refusal_against_all_else() -> None:
    assert prediction("a", 0.25).log_odds == pytest.approx(math.log(0.25 / 0.75))
    assert prediction("a", 0.25).model_copy(update={"refusal_log_odds": 1.5}).log_odds == 1.5


def test_a_row_of_another_shape_names_file_and_field(tmp_path: Path) -> None:
    layout = RunLayout(tmp_path, "c", "a", "run")
    write_predictions(layout, [prediction("a", 0.25)])
    layout.finish(Stage.EVALUATE, {})
    path = layout.stage(Stage.EVALUATE) / "predictions.jsonl"
    path.write_text(path.read_text().replace('"split"', '"part"'))
    with pytest.raises(
        DatasetError, match=r"predictions\.jsonl is damaged \(split: Field required\); run evaluate again"
    ):
        read_predictions(layout)
