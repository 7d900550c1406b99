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
from disrouter.scenario import Scenario
from disrouter_training.generation import Sampling, TransformersGenerator
from disrouter_training.job import Job
from disrouter_training.judgement import Answers, evaluation, predictions
from disrouter_training.prompts import Prompt, forced, free
from disrouter_training.questions import Question
from disrouter_training.shards import Row, missing, run_shards, shard
from disrouter_training.split import split_questions

EVALUATION_FILE = "evaluation.json"
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
    ]
    replies = _ask_all(job, questions, passes)
    answers = Answers(
        base=replies["base"],
        forced=replies["forced"],
        serving={scenario: replies[f"{served}-{scenario}"] for scenario in Scenario},
        candidate={scenario: replies[f"candidate-{scenario}"] for scenario in Scenario},
    )
    result = evaluation(job.layout.run, questions, answers, job.config.rl.gamma)
    rows = predictions(questions, answers)
    write_atomically(folder / PREDICTIONS_FILE, "".join(json.dumps(row) + "\n" for row in rows))
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


def _ask_all(job: Job, questions: Sequence[Question], passes: Sequence[Pass]) -> dict[str, dict[str, str]]:
    """Replies of every pass by question id. A model is loaded once, and only if a reply of it is missing."""
    config = job.config.collect
    sampling = Sampling(samples=1, temperature=0, max_new_tokens=config.max_new_tokens, batch_size=config.batch_size)
    batch = min(sampling.prompts_at_once, max(1, len(questions) // QUESTIONS_AT_ONCE))
    shards = shard(questions, batch)
    folder = job.folder(Stage.EVALUATE) / "replies"
    left = sum(len(missing(folder / item.name, shards)) for item in passes)
    progress = job.progress(Stage.EVALUATE, "replies", len(shards) * len(passes))
    progress.resume(len(shards) * len(passes) - left)
    models = _Models(job)
    replies: dict[str, dict[str, str]] = {}
    for item in passes:

        def work(part: Sequence[Question], _number: int, item: Pass = item) -> list[Row]:
            texts = models.get(item.model).replies([item.prompt(question) for question in part], sampling, seed=0)
            return [{"id": question.id, "reply": text[0]} for question, text in zip(part, texts, strict=True)]

        rows = run_shards(folder / item.name, shards, work, progress, len)
        replies[item.name] = {str(row["id"]): str(row["reply"]) for row in rows}
    return replies


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
