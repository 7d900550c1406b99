"""Stage `evaluate`: what the candidate is worth on questions that training never saw.

Every question is asked of the base model and the candidate when they must answer; of the candidate as a client asks it;
and of the candidate and of what is served today in the three scenarios. Replies are kept in shards, so the stage
resumes; the judgement over them is `judgement.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from disrouter.artifacts import Discrimination, Evaluation, Stage, write_atomically
from disrouter.calibration import Calibration
from disrouter.scenario import Scenario
from disrouter_training.data.correctness import is_right
from disrouter_training.data.sources import Question
from disrouter_training.data.split import DEV, TEST
from disrouter_training.data.split_files import read_judged
from disrouter_training.evaluation.calibration import calibrate
from disrouter_training.evaluation.discrimination import discrimination
from disrouter_training.evaluation.examination import Examination, by_id, examination, queries, time_replies, under
from disrouter_training.evaluation.judgement import Answers, evaluation, predictions
from disrouter_training.evaluation.results import EVALUATION_FILE, write_predictions
from disrouter_training.generation.batch_queries import BatchQueries, Query, reply
from disrouter_training.generation.encoding import Encoder
from disrouter_training.generation.first_token import PROBED
from disrouter_training.generation.prompts import must_answer
from disrouter_training.job import Job


def evaluate(job: Job, serving: str | None = None) -> Evaluation:
    """Run or resume the stage. `serving` names trained weights served today; None: the base model, prompted."""
    started = job.clock()
    job.layout.require(Stage.RL)
    splits = read_judged(job.layout)
    questions, everything = splits[TEST], [question for each in splits.values() for question in each]
    folder = job.folder(Stage.EVALUATE)
    base, candidate = job.base_model(), str(job.layout.weights(Stage.RL))
    served = "serving" if serving is None else f"serving-{hashlib.sha256(serving.encode()).hexdigest()[:8]}"
    batch = BatchQueries.of(job, folder / "replies", Stage.EVALUATE)
    job.say(f"{Stage.EVALUATE}: asks {base} and the candidate {len(everything)} questions, each in several ways")
    contest = [
        Query(f"{served}-{s}", serving or base, reply(under(s, prompted=serving is None), batch.sampling))
        for s in Scenario
    ]
    today = batch.ask(questions, contest)
    rows = batch.ask(
        everything, [Query("base", base, reply(must_answer, batch.sampling)), *queries(candidate, batch.sampling)]
    )
    found = examination(rows)
    answers = Answers(
        base=by_id(rows["base"]),
        must_answer=found.must_answer,
        plain=found.plain,
        serving={scenario: by_id(today[f"{served}-{scenario}"]) for scenario in Scenario},
        candidate=found.free,
    )
    result = evaluation(job.layout.run, questions, answers, job.config.rl.gamma)
    calibration = _calibration(found, splits.get(DEV, questions))
    learned = {
        "calibration": calibration,
        "first_token_discrimination": None if calibration is None else _first_token(found, questions),
        "preference_encoding": job.config.preference_encoding,
        "prompt_opens_reasoning": Encoder(candidate).opens_reasoning(),
    }
    result = result.model_copy(update=learned)
    table = [row for name, each in splits.items() for row in predictions(name, each, answers, found.signals)]
    write_predictions(job.layout, table)
    write_atomically(folder / EVALUATION_FILE, json.dumps(result.dump(), indent=2) + "\n")
    timing = time_replies(batch, candidate, questions, found)
    metrics = {"serving": serving, "utilityGain": round(result.utility_gain, 4), "refusalTimeShare": timing.share}
    job.finish(Stage.EVALUATE, metrics, started)
    return result


def _first_token(found: Examination, questions: Sequence[Question]) -> Discrimination | None:
    """How well the odds of a refusal tell what it gets right."""
    right = [is_right(question, found.plain[question.id]) for question in questions]
    return discrimination([-found.signals[question.id].log_odds for question in questions], right)


def _calibration(found: Examination, questions: Sequence[Question]) -> Calibration | None:
    """For the probability mode; None where an answer begins with the refusal's first token."""
    if not found.tokens.usable:
        return None
    right = [is_right(question, found.plain[question.id]) for question in questions]
    return calibrate([found.signals[question.id] for question in questions], right, found.tokens, PROBED)
