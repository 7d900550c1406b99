"""What trained weights make of questions: must-answer, plain, in each scenario, and at the first token; and how long a
refusal takes beside an answer (Table 6)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from disrouter.artifacts import write_atomically
from disrouter.calibration import FirstTokenSignal
from disrouter.refusal import is_refusal
from disrouter.scenario import Scenario
from disrouter_training.data.shards import Row
from disrouter_training.data.sources import Question
from disrouter_training.generation.batch_queries import BatchQueries, Models, Phrase, Query, first_token, reply
from disrouter_training.generation.first_token import PROBED, FirstTokens
from disrouter_training.generation.prompts import free, must_answer, plain
from disrouter_training.generation.transformers_generator import Sampling

TIMED = 16
"""Replies of each sort that are timed, one at a time."""
TIMING_FILE = "timing.json"

Replies = Mapping[str, str]
"""Reply by question id."""


@dataclass(frozen=True)
class Timing:
    """Mean seconds of one reply when nothing else is asked, None where there was none."""

    refusal: float | None
    answer: float | None

    @property
    def share(self) -> float | None:
        """A refusal's time as a share of an answer's."""
        return None if self.refusal is None or not self.answer else self.refusal / self.answer


@dataclass(frozen=True)
class Examination:
    """Replies of one model's weights."""

    must_answer: Replies
    plain: Replies
    free: Mapping[Scenario, Replies]
    signals: Mapping[str, FirstTokenSignal]
    tokens: FirstTokens


def examine(batch: BatchQueries, model: str, questions: Sequence[Question]) -> Examination:
    """Ask everything of the weights in folder `model`, or go on with it."""
    return examination(batch.ask(questions, queries(model, batch.sampling)))


def examination(rows: Mapping[str, Sequence[Row]]) -> Examination:
    """From the rows of `queries`."""
    return Examination(
        by_id(rows["must-answer"]),
        by_id(rows["plain"]),
        {scenario: by_id(rows[f"candidate-{scenario}"]) for scenario in Scenario},
        {str(row["id"]): FirstTokenSignal(*row["chances"]) for row in rows["first-token"]},
        FirstTokens(*rows["first-token"][0]["tokens"]),
    )


def queries(model: str, sampling: Sampling) -> list[Query]:
    """The ways in which trained weights are asked."""
    return [
        Query("must-answer", model, reply(must_answer, sampling)),
        Query("plain", model, reply(plain, sampling)),
        *(Query(f"candidate-{s}", model, reply(under(s), sampling)) for s in Scenario),
        Query("first-token", model, first_token(under(PROBED), sampling.batch_size)),
    ]


def under(scenario: Scenario, *, prompted: bool = False) -> Phrase:
    """A question as the sidecar puts it in a scenario."""
    return lambda question: free(question, scenario, prompted=prompted)


def by_id(rows: Sequence[Row]) -> dict[str, str]:
    """Replies by question."""
    return {str(row["id"]): str(row["reply"]) for row in rows}


def time_replies(batch: BatchQueries, model: str, questions: Sequence[Question], found: Examination) -> Timing:
    """Time some replies, one at a time, or read what was timed before."""
    path = batch.folder / TIMING_FILE
    if path.exists():
        return Timing(**json.loads(path.read_text(encoding="utf-8")))
    texts = found.free[PROBED]
    refused = [question for question in questions if is_refusal(texts[question.id])][:TIMED]
    answered = [question for question in questions if not is_refusal(texts[question.id])][:TIMED]
    models = Models(batch.stop)
    if refused or answered:
        _seconds(batch, models, model, [*refused, *answered][:1])  # the first reply also pays for warming up
    timing = Timing(_seconds(batch, models, model, refused), _seconds(batch, models, model, answered))
    write_atomically(path, json.dumps({"refusal": timing.refusal, "answer": timing.answer}) + "\n")
    return timing


def _seconds(batch: BatchQueries, models: Models, model: str, questions: Sequence[Question]) -> float | None:
    if not questions:
        return None
    started = batch.clock()
    for question in questions:
        models.get(model).replies([under(PROBED)(question)], batch.sampling, seed=0)
    return (batch.clock() - started) / len(questions)
