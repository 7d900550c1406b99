"""The files that stage `evaluate` leaves, and what the gate and the report read of them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from disrouter.artifacts import Evaluation, RunLayout, Stage
from disrouter.calibration import FirstTokenSignal
from disrouter.scenario import Scenario
from disrouter_training.data.shards import read_rows, write_rows
from disrouter_training.errors import DatasetError

EVALUATION_FILE = "evaluation.json"
PREDICTIONS_FILE = "predictions.jsonl"


class Prediction(BaseModel):
    """A row of `predictions.jsonl`: a judged question under one scenario."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    split: str
    """test, dev or heldout."""
    id: str
    family: str | None = None
    kind: str | None = None
    scenario: Scenario
    refused: bool
    correct: bool
    """The candidate answered, and is right."""
    must_answer_correct: bool
    """The candidate is right when it must answer."""
    base_correct: bool
    """The base model is right when it must answer."""
    plain_correct: bool | None = None
    """The candidate is right when it is asked as the client asks; a refusal is not. Absent in earlier releases."""
    plain_refused: bool = False
    """It refuses then, though nothing allows it to."""
    refusal_chance: float = Field(ge=0, le=1)
    """At the first token, in the balance scenario; six decimals."""
    refusal_log_odds: float | None = None
    """Of a refusal against an answer, there; what the probability decision reads. Absent in earlier releases."""

    @property
    def served_correct(self) -> bool:
        """The candidate is right once the probability has decided to answer."""
        return self.must_answer_correct if self.plain_correct is None else self.plain_correct

    @property
    def log_odds(self) -> float:
        """Of a refusal; in the rows of earlier releases against everything else."""
        if self.refusal_log_odds is not None:
            return self.refusal_log_odds
        return FirstTokenSignal(self.refusal_chance, 1 - self.refusal_chance).log_odds


def write_predictions(layout: RunLayout, rows: Sequence[Prediction]) -> None:
    """Write the rows, whole or not at all."""
    write_rows(layout.stage(Stage.EVALUATE) / PREDICTIONS_FILE, (row.model_dump(mode="json") for row in rows))


def read_predictions(layout: RunLayout) -> list[Prediction]:
    """The rows of a finished stage. Raises ArtifactError before it is complete, DatasetError for a damaged file."""
    layout.require(Stage.EVALUATE)
    path = layout.stage(Stage.EVALUATE) / PREDICTIONS_FILE
    try:
        return [Prediction.model_validate(row) for row in read_rows(path)]
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise DatasetError(f"{path} is damaged ({field}: {first['msg']}); run evaluate again") from None


def read_evaluation(layout: RunLayout) -> Evaluation:
    """The result of a finished stage."""
    layout.require(Stage.EVALUATE)
    return Evaluation.model_validate_json((layout.stage(Stage.EVALUATE) / EVALUATION_FILE).read_bytes())


def compact(result: Evaluation) -> str:
    """For the termination log: no white space, four decimals."""
    rounded = json.loads(json.dumps(result.dump()), parse_float=lambda text: round(float(text), 4))
    return json.dumps(rounded, separators=(",", ":"))
