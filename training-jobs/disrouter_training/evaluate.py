"""Stage `evaluate`: what the candidate is worth on questions that training never saw.

Every question is asked of the base model and the candidate when they must answer, and of the candidate and of what
is served today in the three scenarios. Replies are kept in shards, so the stage resumes; the judgement over them is
`judgement.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from disrouter.artifacts import Evaluation, RunLayout, Stage, write_atomically
from disrouter.calibration import Calibration
from disrouter.refusal import REFUSAL
from disrouter.scenario import Scenario
from disrouter_training.calibrate import calibrate
from disrouter_training.generation import Sampling, TransformersGenerator
from disrouter_training.job import Job
from disrouter_training.judgement import Answers, evaluation, is_right, predictions
from disrouter_training.prompts import Prompt, forced, free
from disrouter_training.shards import Row, missing, run_shards, shard
from disrouter_training.sources import Question
from disrouter_training.split import split_questions
from disrouter_training.template import THINK

EVALUATION_FILE = "evaluation.json"
PROBED = Scenario.BALANCE
"""Whose instruction the probability mode asks under, for every preference."""
PREDICTIONS_FILE = "predictions.jsonl"
QUESTIONS_AT_ONCE = 8
"""Parts that the evaluation questions are cut into at least, so that a kill loses little of a pass."""


@dataclass(frozen=True)
class Pass:
    """All evaluation questions asked of one model in one way."""

    name: str
    model: str
    scenario: Scenario | None
    prompted: bool = False
    probe: bool = False
    """Ask for the chance of a refusal at the first token instead of a reply."""

    def prompt(self, question: Question) -> Prompt:
        """No scenario means that the model must answer."""
        if self.scenario is None:
            return forced(question)
        return free(question, self.scenario, prompted=self.prompted)


def evaluate(job: Job, serving: str | None = None) -> Evaluation:
    """Run or resume the stage. `serving` names trained weights served today; None: the base model, prompted."""
    started = job.clock()
    job.layout.require(Stage.RL)
    questions = split_questions(job.config, job.pvc_root).evaluation
    folder = job.folder(Stage.EVALUATE)
    base, candidate = job.base_model(), str(job.layout.weights(Stage.RL))
    served = "serving" if serving is None else f"serving-{hashlib.sha256(serving.encode()).hexdigest()[:8]}"
    passes = [
        Pass("base", base, None),
        *(Pass(f"{served}-{s}", serving or base, s, prompted=serving is None) for s in Scenario),
        Pass("forced", candidate, None),
        *(Pass(f"candidate-{s}", candidate, s) for s in Scenario),
        Pass("chance", candidate, PROBED, probe=True),
    ]
    rows = _ask_all(job, questions, passes)
    replies = {name: {str(row["id"]): str(row.get("reply", "")) for row in each} for name, each in rows.items()}
    answers = Answers(
        base=replies["base"],
        forced=replies["forced"],
        serving={scenario: replies[f"{served}-{scenario}"] for scenario in Scenario},
        candidate={scenario: replies[f"candidate-{scenario}"] for scenario in Scenario},
    )
    result = evaluation(job.layout.run, questions, answers, job.config.rl.gamma)
    result = result.model_copy(update={"calibration": _calibration(rows["chance"], questions, answers)})
    table = predictions(questions, answers, {str(row["id"]): float(row["chance"]) for row in rows["chance"]})
    write_atomically(folder / PREDICTIONS_FILE, "".join(json.dumps(row) + "\n" for row in table))
    write_atomically(folder / EVALUATION_FILE, json.dumps(result.dump(), indent=2) + "\n")
    job.finish(Stage.EVALUATE, {"serving": serving, "utilityGain": round(result.utility_gain, 4)}, started)
    return result


def read_evaluation(layout: RunLayout) -> Evaluation:
    """The result of a finished stage."""
    layout.require(Stage.EVALUATE)
    return Evaluation.model_validate_json((layout.stage(Stage.EVALUATE) / EVALUATION_FILE).read_bytes())


def compact(result: Evaluation) -> str:
    """For the termination log: no white space, four decimals."""
    rounded = json.loads(json.dumps(result.dump()), parse_float=lambda text: round(float(text), 4))
    return json.dumps(rounded, separators=(",", ":"))


def _calibration(rows: Sequence[Row], questions: Sequence[Question], answers: Answers) -> Calibration | None:
    """The table of the probability mode; None where an answer begins with the refusal's first token."""
    token = rows[0]["token"]
    if token is None:
        return None
    chances = {str(row["id"]): float(row["chance"]) for row in rows}
    right = [is_right(question, answers.forced) for question in questions]
    return calibrate([chances[question.id] for question in questions], right, str(token), PROBED)


def _ask_all(job: Job, questions: Sequence[Question], passes: Sequence[Pass]) -> dict[str, list[Row]]:
    """Rows of every pass, one a question. A model is loaded once, and only if a reply of it is missing."""
    config = job.config.collect
    sampling = Sampling(samples=1, temperature=0, max_new_tokens=config.max_new_tokens, batch_size=config.batch_size)
    batch = min(sampling.prompts_at_once, max(1, len(questions) // QUESTIONS_AT_ONCE))
    shards = shard(questions, batch)
    folder = job.folder(Stage.EVALUATE) / "replies"
    left = sum(len(missing(folder / item.name, shards)) for item in passes)
    progress = job.progress(Stage.EVALUATE, "replies", len(shards) * len(passes))
    progress.resume(len(shards) * len(passes) - left)
    models = _Models(job)
    rows: dict[str, list[Row]] = {}
    for item in passes:

        def work(part: Sequence[Question], _number: int, item: Pass = item) -> list[Row]:
            ask = _probe if item.probe else _reply
            return ask(models.get(item.model), item, part, sampling)

        rows[item.name] = run_shards(folder / item.name, shards, work, progress, len)
    return rows


def _reply(model: TransformersGenerator, item: Pass, part: Sequence[Question], sampling: Sampling) -> list[Row]:
    texts = model.replies([item.prompt(question) for question in part], sampling, seed=0)
    return [{"id": question.id, "reply": text[0]} for question, text in zip(part, texts, strict=True)]


def _probe(model: TransformersGenerator, item: Pass, part: Sequence[Question], sampling: Sampling) -> list[Row]:
    token = model.first_token(REFUSAL)
    told = token if token.strip() != model.first_token(THINK).strip() else None
    chances = model.chances([item.prompt(question) for question in part], REFUSAL, sampling.batch_size)
    return [
        {"id": question.id, "chance": chance, "token": told} for question, chance in zip(part, chances, strict=True)
    ]


class _Models:
    """The model asked last; loading another one lets go of it, so that only one is in memory."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._name = ""
        self._generator: TransformersGenerator | None = None

    def get(self, name: str) -> TransformersGenerator:
        if self._generator is None or self._name != name:
            self._generator = None
            self._generator, self._name = TransformersGenerator(name, self._job.stop), name
        return self._generator
