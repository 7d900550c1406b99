"""The files that stage `evaluate` leaves, and what the gate and the report read of them."""

from __future__ import annotations

import json

from disrouter.artifacts import Evaluation, RunLayout, Stage

EVALUATION_FILE = "evaluation.json"
PREDICTIONS_FILE = "predictions.jsonl"


def read_evaluation(layout: RunLayout) -> Evaluation:
    """The result of a finished stage."""
    layout.require(Stage.EVALUATE)
    return Evaluation.model_validate_json((layout.stage(Stage.EVALUATE) / EVALUATION_FILE).read_bytes())


def compact(result: Evaluation) -> str:
    """For the termination log: no white space, four decimals."""
    rounded = json.loads(json.dumps(result.dump()), parse_float=lambda text: round(float(text), 4))
    return json.dumps(rounded, separators=(",", ":"))
